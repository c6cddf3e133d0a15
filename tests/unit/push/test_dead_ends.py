"""Dead ends: what may be done of them only while this worker may act."""

from __future__ import annotations

import asyncio

from pipeline.delivery.pointer import Pointer
from pipeline.delivery.verdict import Reply
from tests.fakes.bridge import FakeBridge, eventually, reading_of, row_of

T0 = ("t", 0)


async def test_who_lost_the_lease_while_a_dead_letter_was_made_appends_none_until_he_has_it() -> None:
    """The next owner has the event too: two dead letters of it would be redriven twice."""
    bench = FakeBridge()
    letters = bench.log.topics["app.hook.dlq"].partitions[0].records
    bench.append(b"0")
    run = bench.run(reading_of(row_of(retry={"schedule_s": []}, on_dead_letter="park")))
    run.begin(T0, Pointer(epoch=1, owner="w1", offset=0))
    await eventually(lambda: bool(bench.sender.open))
    put = bench.parked.put

    async def frozen_meanwhile(*row: object, **more: object) -> object:
        bench.may_act = False
        return await put(*row, **more)  # type: ignore[arg-type]

    bench.parked.put = frozen_meanwhile  # type: ignore[method-assign, assignment]
    bench.sender.answer(Reply(500, None, 0.01))
    await eventually(lambda: bool(bench.hooks.of("on_bury_failed")), "that it failed")
    for _ in range(20):
        await asyncio.sleep(0)
    assert (letters, run.core.commit_of(T0).offset) == ([], 0)
    bench.may_act = True
    await eventually(lambda: len(letters) == 1, "the dead letter")
    await eventually(lambda: run.core.commit_of(T0).offset == 1)
    await run.close()
