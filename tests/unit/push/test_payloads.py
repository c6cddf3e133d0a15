"""Payloads: read again before they are sent, and only sent by who may act then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.delivery.lanes import Lane
from pipeline.delivery.pointer import Pointer
from pipeline.errors import BrokerUnavailable
from pipeline.push import payloads
from pipeline.push.run import Run
from pipeline.record import Record
from tests.fakes.bridge import OK, FakeBridge, eventually

T0 = ("t", 0)


class Bench(FakeBridge):
    """One event is under way, whose payload gave way to its position; ``before`` is called when it is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        fetch = self.view.fetch

        async def fetching(*place: Any) -> Record | None:
            self.reads += 1
            self.before()
            return await fetch(*place)

        self.view.fetch = fetching  # type: ignore[method-assign, assignment]

    def before(self) -> None: ...

    async def begin(self) -> tuple[Run, Lane]:
        self.append(b"0")
        run = self.run()
        run.begin(T0, Pointer(epoch=1, owner="w1", offset=0))
        await eventually(lambda: bool(self.sender.open))
        lane: Lane = self.sender.open[0][1]
        lane.head = 0
        return run, lane


async def test_what_was_read_again_is_sent() -> None:
    bench = Bench()
    run, lane = await bench.begin()
    run.pump._send(lane)
    await eventually(lambda: len(bench.sender.sent) == 2)
    assert (bench.sender.sent[1][0].value, bench.reads) == (b"0", 1)
    await run.close()


@pytest.mark.parametrize("fails", [False, True])
async def test_who_was_frozen_while_it_was_read_sends_when_he_may_again(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "AGAIN_S", 0.001)
    bench = Bench()
    run, lane = await bench.begin()

    def frozen() -> None:
        bench.may_act = False
        if fails and bench.reads == 1:
            raise BrokerUnavailable("away")

    bench.before = frozen  # type: ignore[method-assign]
    run.pump._send(lane)
    await eventually(lambda: bench.reads == 1)
    for _ in range(50):
        await asyncio.sleep(0)
    assert (len(bench.sender.sent), bench.reads) == (1, 1), "who may not act does not read either"
    bench.before = lambda: None  # type: ignore[method-assign]
    bench.may_act = True
    await eventually(lambda: len(bench.sender.sent) == 2)
    bench.sender.open.pop(0)
    bench.sender.answer(OK)
    await eventually(lambda: run.core.commit_of(T0).offset == 1)
    await run.close()
