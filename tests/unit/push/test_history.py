"""A worker's attempts and dead letters are written down around the parts that act."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.deadletter import Failure, wrap
from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.push.history import RecordedDelivery, origin_of
from pipeline.record import Record
from pipeline.verify import Ended, HistoryWriter, Sent, read_history

RECORD = Record("orders", 1, 7, 0, b"k", b"v")


class Inner:
    def __init__(self) -> None:
        self.done: Callable[[Any, Reply | Fault], None] = lambda _arg, _outcome: None
        self.aborted: list[object] = []
        self.closed = False

    def send(self, record: Record, attempt: int, done: Callable[[Any, Reply | Fault], None], arg: Any, /) -> None:
        self.done = done

    def abort(self, arg: object, /) -> None:
        self.aborted.append(arg)

    async def close(self) -> None:
        self.closed = True


async def test_an_attempt_is_written_before_and_after_and_passed_on(tmp_path: Path) -> None:
    history, inner, told = HistoryWriter(tmp_path / "h", "w", lambda: 1.0), Inner(), list[object]()
    delivery = RecordedDelivery(inner, history, lambda _: "evt_abcdefghij_")
    delivery.send(RECORD, 2, lambda arg, outcome: told.append((arg, outcome)), "lane")
    sent = Sent(at=1.0, by="w", id="evt_abcdefghij_1_7", attempt=2)
    assert list(read_history(tmp_path / "h")) == [sent]
    fault = Fault(FaultKind.TIMEOUT, "", 0.1)
    inner.done("lane", fault)
    assert told == [("lane", fault)]
    assert list(read_history(tmp_path / "h"))[1] == Ended(at=1.0, by="w", id=sent.id, attempt=2, status=0)
    delivery.abort("lane")
    await delivery.close()
    assert (inner.aborted, inner.closed) == (["lane"], True)
    history.close()


def test_a_dead_letter_names_its_event_and_nothing_else_does() -> None:
    failure = Failure(
        reason="exhausted", attempts=1, first_failed_at="2026-01-01T00:00:00Z", last_failed_at="2026-01-01T00:00:00Z"
    )
    key, value, headers = wrap(RECORD, "app.hook", failure)
    assert origin_of(Record("app.hook.dlq", 1, 0, 0, key, value, headers)) == RECORD.position
    assert origin_of(RECORD) is None
