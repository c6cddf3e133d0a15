"""Batcher: many lanes in one request, the poison alone buried, a broken-off batch sent again without what left it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.push.batch import Taken
from pipeline.push.batcher import Batcher
from pipeline.record import Record
from pipeline.subscription import subscription_from
from pipeline.webhook.bundle import BundledEvent, EventRenderer
from tests.fakes.bridge import OK, eventually

NO = Reply(422, None, 0.01)


class Endpoint:
    """In the place of a sender; ``requests`` lists what values each one carried."""

    def __init__(self) -> None:
        self.requests: list[list[int]] = []
        self.open: list[tuple[Callable[[Any, Reply | Fault], None], Any]] = []
        self.aborted: list[object] = []
        self.closed = False

    def send(self, events: list[BundledEvent], _attempt: int, done: Callable[[Any, Any], None], arg: object) -> None:
        self.requests.append([json.loads(event.json)["data"] for event in events])
        self.open.append((done, arg))

    def abort(self, arg: object) -> None:
        self.aborted.append(arg)
        self.open = [one for one in self.open if one[1] is not arg]

    async def close(self) -> None:
        self.closed = True

    def answer(self, outcome: Reply | Fault) -> None:
        done, arg = self.open.pop(0)
        done(arg, outcome)


def event(number: int) -> Record:
    return Record("t", 0, number, 0, b"k", b"%d" % number, (("content-type", b"application/json"),))


class Bench:
    def __init__(self, *, may_act: Callable[[], bool] = lambda: True, **batch: int) -> None:
        spec = subscription_from(
            {
                "name": "s",
                "topics": ["t"],
                "endpoint": {"url": "https://r.example/hook"},
                "format": "batch",
                "retry": {"schedule_s": [1, 1, 1], "reject_status": [422]},
                "batch": {"linger_ms": 0, **batch},
            }
        )
        renderer = EventRenderer(lambda _: "evt_a_", lambda topic: (f"/{topic}", "r"))
        self.endpoint = Endpoint()
        self.behind: dict[int, list[int]] = {}
        self.last_chances: set[int] = set()
        self.untried_ones: list[int] = []
        self.along = 0
        self.batcher = Batcher(
            cast("Any", self.endpoint),
            spec,
            renderer,
            behind=self,
            may_act=may_act,
        )
        self.outcomes: dict[int, list[Reply | Fault]] = {}

    def send(self, *numbers: int, attempt: int = 1) -> None:
        for number in numbers:
            self.batcher.send(event(number), attempt, self._done, number)

    def records(self, number: int, events_max: int) -> Sequence[Record]:
        return [event(one) for one in self.behind.get(number, [])[:events_max]]

    def as_sent(self, record: Record) -> Record:
        return record

    def went_along(self, count: int) -> None:
        self.along += count

    def is_last_chance(self, number: int) -> bool:
        return number in self.last_chances

    def untried(self, number: int) -> None:
        self.untried_ones.append(number)

    def delivered(self, number: int, outcome: Reply | Fault, taken: Taken) -> None:
        self._done(number, outcome)
        for record, reply in taken:
            self._done(record.offset, reply)

    def _done(self, number: int, outcome: Reply | Fault) -> None:
        self.outcomes.setdefault(number, []).append(outcome)

    async def sent(self, count: int) -> None:
        await eventually(lambda: len(self.endpoint.requests) == count, f"{count} requests")


async def test_what_lingers_together_goes_together_and_each_is_told_once() -> None:
    bench = Bench()
    bench.send(1, 2, 3)
    await bench.sent(1)
    bench.endpoint.answer(OK)
    assert bench.endpoint.requests == [[1, 2, 3]]
    assert bench.outcomes == {1: [OK], 2: [OK], 3: [OK]}


async def test_a_full_batch_does_not_linger() -> None:
    bench = Bench(max_events=2, linger_ms=10_000)
    bench.send(1, 2, 3)
    assert bench.endpoint.requests == [[1, 2]]
    await bench.batcher.close()
    assert bench.endpoint.closed


async def test_what_would_make_a_batch_too_large_begins_another() -> None:
    bench = Bench(max_bytes=1024)
    bench.send(*range(8))
    await eventually(lambda: sum(map(len, bench.endpoint.requests)) == 8)
    assert len(bench.endpoint.requests) > 1


async def test_only_the_event_refused_alone_is_rejected() -> None:
    bench = Bench()
    bench.send(*range(8))
    await bench.sent(1)
    while bench.endpoint.open:
        bench.endpoint.answer(NO if 2 in bench.endpoint.requests[-1] else OK)
    assert {number: outcomes for number, outcomes in bench.outcomes.items() if outcomes != [OK]} == {2: [NO]}


async def test_a_batch_that_fails_whole_rejects_nothing_but_what_was_alone() -> None:
    bench = Bench()
    bench.send(*range(8))
    await bench.sent(1)
    while bench.endpoint.open:
        bench.endpoint.answer(NO)
    assert len(bench.endpoint.requests) == 3
    assert [number for number, [outcome] in bench.outcomes.items() if outcome == NO] == [4]
    kinds = {outcome.kind for [outcome] in bench.outcomes.values() if isinstance(outcome, Fault)}
    assert (len(bench.outcomes), kinds) == (8, {FaultKind.PROTOCOL})


@pytest.mark.parametrize("outcome", [Reply(429, None, 0.01), Reply(410, None, 0.01), Fault(FaultKind.RESET, "x", 0.01)])
async def test_what_is_no_refusal_of_an_event_ends_the_batch_at_once(outcome: Reply | Fault) -> None:
    bench = Bench()
    bench.send(1, 2)
    await bench.sent(1)
    bench.endpoint.answer(outcome)
    assert (len(bench.endpoint.requests), bench.outcomes) == (1, {1: [outcome], 2: [outcome]})


async def test_what_failed_twice_or_may_fail_no_more_goes_alone() -> None:
    bench = Bench()
    bench.send(1, 2, attempt=3)
    bench.last_chances = {3, 4}
    bench.send(3, attempt=2)
    bench.send(4)
    assert bench.endpoint.requests == [[1], [2], [3], [4]]


async def test_a_batch_broken_off_is_sent_again_without_what_was_taken_away() -> None:
    bench = Bench()
    bench.send(1, 2, 3)
    await bench.sent(1)
    bench.batcher.abort(1)
    bench.batcher.abort(2)
    await bench.sent(2)
    bench.endpoint.answer(OK)
    assert (bench.endpoint.requests[1], len(bench.endpoint.aborted), bench.outcomes) == ([3], 1, {3: [OK]})


async def test_what_still_lingers_is_taken_out() -> None:
    bench = Bench()
    bench.send(1, 2)
    bench.batcher.abort(1)
    await bench.sent(1)
    assert bench.endpoint.requests == [[2]]


async def test_who_may_not_act_sends_nothing_until_he_may() -> None:
    allowed: list[bool] = []
    bench = Bench(may_act=lambda: bool(allowed))
    bench.send(1, attempt=3)
    assert bench.endpoint.requests == []
    allowed.append(True)
    await bench.sent(1)


async def test_what_stands_behind_a_head_goes_with_it_in_order_and_is_told_with_it() -> None:
    bench = Bench()
    bench.behind = {1: [11, 12], 2: [21]}
    bench.send(1, 2)
    await bench.sent(1)
    bench.endpoint.answer(OK)
    assert bench.endpoint.requests == [[1, 11, 12, 2, 21]]
    assert bench.outcomes == {number: [OK] for number in (1, 11, 12, 2, 21)}


async def test_a_lane_that_fills_a_batch_does_not_linger_and_takes_no_more_than_its_share() -> None:
    bench = Bench(max_events=4, linger_ms=10_000)
    bench.behind = {1: [11], 2: list(range(21, 99))}
    bench.send(1, 2)
    assert bench.endpoint.requests == [[1, 11, 2, 21]]


async def test_what_stands_behind_is_taken_when_the_request_is_made_as_far_as_the_bytes_go() -> None:
    bench = Bench(max_bytes=1024)
    bench.send(1)
    bench.behind = {1: list(range(10, 30))}
    await bench.sent(1)
    [request] = bench.endpoint.requests
    assert request == [1, *range(10, 9 + len(request))]
    assert 1 < len(request) < 10


async def test_a_refusal_of_what_stands_behind_counts_for_nothing_yet() -> None:
    bench = Bench()
    bench.behind = {1: [11, 12, 13]}
    bench.send(1, 2)
    await bench.sent(1)
    while bench.endpoint.open:
        bench.endpoint.answer(NO if 12 in bench.endpoint.requests[-1] else OK)
    assert bench.outcomes == {1: [OK], 11: [OK], 2: [OK]}


async def test_a_lane_refused_whole_counts_for_its_head_alone() -> None:
    bench = Bench()
    bench.behind = {1: [11, 12, 13]}
    bench.send(1)
    await bench.sent(1)
    while bench.endpoint.open:
        bench.endpoint.answer(NO)
    assert (len(bench.endpoint.requests), bench.endpoint.requests[2], bench.outcomes) == (3, [1], {1: [NO]})


async def test_what_was_taken_before_a_batch_was_broken_off_is_told_once_and_not_sent_again() -> None:
    bench = Bench()
    bench.behind = {1: [11, 12], 2: []}
    bench.send(1, 2)
    await bench.sent(1)
    bench.endpoint.answer(NO)  # [1, 11, 12, 2]
    bench.endpoint.answer(OK)  # [1, 11]
    bench.batcher.abort(2)
    await bench.sent(4)
    bench.endpoint.answer(OK)
    assert bench.endpoint.requests == [[1, 11, 12, 2], [1, 11], [12], [12]]
    assert bench.outcomes == {1: [OK], 11: [OK], 12: [OK]}


async def test_nothing_lingers_when_it_is_to_go_at_once() -> None:
    bench = Bench(linger_ms=10_000)
    bench.send(1, 2)
    bench.send(3, attempt=2)
    assert bench.endpoint.requests == []
    bench.batcher.flush()
    assert bench.endpoint.requests == [[1, 2], [3]]
    bench.endpoint.answer(OK)
    bench.batcher.flush()
    assert len(bench.endpoint.requests) == 2


async def test_where_others_were_taken_who_was_not_found_out_counts_no_attempt() -> None:
    bench = Bench()
    bench.send(*range(16))
    await bench.sent(1)
    poison = set(range(8, 16))
    while bench.endpoint.open:
        bench.endpoint.answer(OK if poison.isdisjoint(bench.endpoint.requests[-1]) else NO)
    failed = [number for number, [outcome] in bench.outcomes.items() if outcome != OK]
    assert [number for number, [outcome] in bench.outcomes.items() if outcome == OK] == list(range(8))
    assert [bench.outcomes[number] for number in failed] == [[NO]] * len(failed), "each was refused alone"
    assert failed
    assert sorted((*failed, *bench.untried_ones)) == sorted(poison)


async def test_an_endpoint_that_goes_away_fails_those_it_was_just_sent_only() -> None:
    bench = Bench()
    bench.send(*range(8))
    await bench.sent(1)
    gone = Fault(FaultKind.TIMEOUT, "no reply", 1.0)
    for outcome in (NO, OK, gone):
        bench.endpoint.answer(outcome)
    assert bench.endpoint.requests == [list(range(8)), [0, 1, 2, 3], [4, 5]]
    assert bench.outcomes == {**{number: [OK] for number in range(4)}, 4: [gone], 5: [gone]}
    assert bench.untried_ones == [6, 7]


async def test_a_rate_is_told_of_all_events_but_the_heads_that_began() -> None:
    bench = Bench()
    bench.behind = {1: [11, 12], 2: [21]}
    bench.send(1, 2)
    await bench.sent(1)
    assert bench.along == 3
    bench.endpoint.answer(NO)
    assert bench.endpoint.requests[1] == [1, 11]
    assert bench.along == 5, "parts count whole"
