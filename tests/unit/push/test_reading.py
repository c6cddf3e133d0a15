"""Readings: what each kind of run reads, and what of it is delivered."""

from __future__ import annotations

import pytest

from pipeline.deadletter import Edit, Failure, unwrap, wrap
from pipeline.push.reading import is_selected
from pipeline.record import Headers, Position, Record
from pipeline.subscription import StoredRun
from tests.fakes.bridge import reading_of, row_of

FAILURE = Failure(
    reason="exhausted", attempts=4, first_failed_at="2026-11-20T22:00:00Z", last_failed_at="2026-11-20T22:10:00Z"
)


def record(offset: int = 5, *, topic: str = "t", headers: Headers = (), value: bytes | None = b"{}") -> Record:
    return Record(topic, 1, offset, 1_795_219_200_000, b"k", value, headers)


def event(offset: int, **attributes: bytes) -> Record:
    named = {"specversion": b"1.0", "id": b"e", "source": b"/s", "type": b"made", **attributes}
    return record(offset, headers=tuple((f"ce_{name}", value) for name, value in named.items()))


def letter(original: Record, *, offset: int = 3, group: str = "app.hook", redrives: int = 0) -> Record:
    key, value, headers = wrap(original, group, FAILURE, redrives=redrives)
    return Record("app.hook.dlq", original.partition, offset, 1_795_219_300_000, key, value, headers)


def redrive(**selected: tuple[str, ...]) -> StoredRun:
    return StoredRun(id="r1", subscription="hook", kind="redrive", window={"app.hook.dlq": {1: (3, 9)}}, **selected)  # type: ignore[arg-type]  # reasons and ids only


def test_a_live_reading_takes_its_topics_without_end_under_the_subscriptions_group() -> None:
    live = reading_of(row_of(topics=["t", "u"]))
    assert (live.group, live.subscription_group, live.topics) == ("app.hook", "app.hook", ("t", "u"))
    assert (live.until(("t", 0)), live.reads(("u", 99)), live.reads(("x", 0))) == (None, True, False)
    assert (live.run_id, live.dead_letter_topic) == (None, "app.hook.dlq")


def test_a_bounded_reading_takes_its_window_under_a_group_of_its_own() -> None:
    replay = StoredRun(id="r7", subscription="hook", kind="replay", window={"t": {0: (5, 9), 2: (0, 3)}})
    reading = reading_of(None, replay)
    assert (reading.group, reading.run_id, reading.topics) == ("app.hook.replay.r7", "r7", ("t",))
    assert [reading.reads(("t", number)) for number in range(3)] == [True, False, True]
    assert (reading.until(("t", 0)), reading.reads(("u", 0))) == (9, False)
    assert (reading.delivery(record()), reading.redrives_of(record())) == (record(), 0)


def test_without_a_filter_everything_is_taken() -> None:
    records = [record(1), event(2)]
    assert reading_of().select(records) == records


def test_a_filter_sees_attributes_and_what_topic_and_place_give() -> None:
    reading = reading_of(row_of(filters=[{"prefix": {"type": "t.rec"}}]))
    assert reading.select([record(1), event(2), event(3, type=b"t.records")]) == [
        record(1),
        event(3, type=b"t.records"),
    ]


def test_a_replay_is_filtered_as_live_delivery_is() -> None:
    replay = StoredRun(id="r7", subscription="hook", kind="replay", window={"t": {1: (0, 9)}})
    reading = reading_of(row_of(filters=[{"exact": {"type": "made"}}]), replay)
    assert reading.select([record(1), event(2)]) == [event(2)]


@pytest.mark.parametrize(
    "broken",
    [
        event(2, type=b"\xff\xfe"),
        event(2, specversion=b"9"),
        record(2, headers=(("content-type", b"application/cloudevents+json"),), value=b"{no json"),
    ],
)
def test_what_a_filter_cannot_judge_is_selected_and_said_why(broken: Record) -> None:
    reading = reading_of(row_of(filters=[{"exact": {"type": "never"}}]))
    assert reading.select([event(1), broken, event(3)]) == [broken]
    assert list(reading.unreadable) == [Position("t", 1, 2)]
    assert "expected" in reading.unreadable[Position("t", 1, 2)]


def test_what_a_filter_looks_at_decides_whatever_else_is_wrong_with_a_record() -> None:
    broken = [event(2, id=b"\xff"), event(3, id=b"\xff", type=b"wanted")]
    reading = reading_of(row_of(filters=[{"exact": {"type": "wanted"}}]))
    assert (reading.select(broken), reading.unreadable) == ([broken[1]], {})


def test_a_redrive_delivers_the_original_at_its_own_position() -> None:
    original = record(42, headers=(("ce_id", b"e"),))
    lies_there = letter(original, redrives=1)
    reading = reading_of(row_of(filters=[{"exact": {"type": "never"}}]), redrive())
    assert reading.select([lies_there]) == [lies_there]
    assert reading.delivery(lies_there) == original
    assert reading.redrives_of(lies_there) == 2


def test_who_edited_an_event_stays_known() -> None:
    edit = Edit(by="ann", original="app.hook.dlq/1/3", sha256="ab" * 32)
    key, value, headers = wrap(record(42), "app.hook", FAILURE, edit=edit)
    edited = Record("app.hook.dlq", 1, 4, 1_795_219_300_000, key, value, headers)
    assert reading_of(None, redrive()).edit_of(edited) == edit
    assert reading_of(None, redrive()).edit_of(letter(record(42))) is None
    assert reading_of().edit_of(record(42)) is None


@pytest.mark.parametrize(
    "forged", [letter(record(), group="app.other"), letter(record(topic="salaries")), record(topic="app.hook.dlq")]
)
def test_a_redrive_takes_no_letter_that_was_never_the_subscriptions_own(forged: Record) -> None:
    assert reading_of(None, redrive()).select([forged]) == []


def test_a_redrive_takes_what_is_selected() -> None:
    chosen = letter(record(1))
    wanted = chosen.header("dlq.id")
    assert wanted is not None
    run = redrive(ids=(wanted.decode(),))
    assert reading_of(None, run).select([chosen, letter(record(2))]) == [chosen]
    assert reading_of(None, redrive(reasons=("expired",))).select([chosen]) == []


def test_selection_by_reason_and_by_id_must_both_hold() -> None:
    it = unwrap(letter(record(1)))
    assert is_selected(it, redrive())
    assert is_selected(it, redrive(reasons=("exhausted",), ids=(it.id,)))
    assert not is_selected(it, redrive(reasons=("exhausted",), ids=("another",)))
