"""Batches at an endpoint that refuses what it likes: what is narrowed down, in what order, at what price.

A model of what stands around `Narrowing`: lanes with events in order, a head tried again until it is taken or buried,
batches of the lanes that `events_max_of` lets go together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isqrt

from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.batching import (
    REQUESTS_MAX_WITHOUT_SUCCESS,
    TOO_LARGE,
    ByteCap,
    Ended,
    Narrowing,
    events_max_of,
    requests_max_of,
)

ROWS = st.lists(st.integers(0, 7), min_size=1, max_size=40)
REFUSED = 422
# An answer to the places of a request: None takes them.
Answer = Callable[[Sequence[int]], int | None]


def narrowed(rows: Sequence[int], answer: Answer) -> tuple[list[list[int]], list[int], dict[int, Ended[int]]]:
    """The requests, the places taken in the order they were, and how each row ended."""
    narrowing, requests, taken, ended = Narrowing(rows), [], [], list[Ended[int]]()
    while narrowing.request:
        request = list(narrowing.request)
        requests.append(request)
        assert len(requests) <= 4 * len(rows) + REQUESTS_MAX_WITHOUT_SUCCESS, "it ends"
        status = answer(request)
        if status is None:
            taken += request
            narrowing.taken()
        else:
            narrowing.refused(status)
        ended += narrowing.ended()
    assert len({one.row for one in ended}) == len(ended), "each row ends once"
    return requests, taken, {one.row: one for one in ended}


def poisoned(poison: set[int]) -> Answer:
    return lambda request: None if poison.isdisjoint(request) else REFUSED


@given(ROWS, st.data())
def test_each_row_ends_with_what_was_taken_of_it_in_order_and_none_of_it_twice(
    rows: list[int], data: st.DataObject
) -> None:
    statuses = st.sampled_from([None, None, REFUSED, 500, TOO_LARGE])
    requests, taken, ended = narrowed(rows, lambda _: data.draw(statuses))
    assert len(set(taken)) == len(taken)
    assert set(ended) == set(rows)
    for row in set(rows):
        own = [place for place, other in enumerate(rows) if other == row]
        assert [place for place in taken if rows[place] == row] == own[: ended[row].delivered]
        if ended[row].refused_alone:
            assert [own[ended[row].delivered]] in requests
    for request in requests:
        assert request == sorted(request)
    if not taken:
        assert not any(end.is_untried for end in ended.values())


@given(ROWS, st.data())
def test_where_something_is_taken_a_row_fails_by_its_own_poison_only(rows: list[int], data: st.DataObject) -> None:
    poison = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    _, taken, ended = narrowed(rows, poisoned(poison))
    for row, end in ended.items():
        own = [place for place, other in enumerate(rows) if other == row]
        if taken and not end.delivered and not end.is_untried:
            assert end.refused_alone and own[0] in poison
        assert not (end.is_untried and end.refused_alone)


@given(ROWS, st.data())
def test_who_goes_away_fails_those_it_was_just_sent_only(rows: list[int], data: st.DataObject) -> None:
    narrowing, taken, ended = Narrowing(rows), set[int](), list[Ended[int]]()
    for status in data.draw(st.lists(st.sampled_from([None, REFUSED]), max_size=8)):
        if not narrowing.request:
            return
        if status is None:
            taken |= {rows[place] for place in narrowing.request}
            narrowing.taken()
        else:
            narrowing.refused(status)
        narrowing.ended()
    sent = {rows[place] for place in narrowing.request}
    narrowing.give_up()
    ended = narrowing.ended()
    assert not narrowing.request
    every, told = {end.row for end in ended}, {end.row for end in ended if not end.is_untried}
    assert told == (every & sent if taken else every)


@given(ROWS, st.data())
def test_only_what_is_poison_is_refused_alone_and_one_poison_holds_up_its_own_row_only(
    rows: list[int], data: st.DataObject
) -> None:
    poison = data.draw(st.sets(st.integers(0, len(rows) - 1), max_size=3))
    _, taken, ended = narrowed(rows, poisoned(poison))
    has_row_behind = len(rows) == 1 or not set(rows[len(rows) // 2 :]) <= set(rows[: len(rows) // 2])
    for row, end in ended.items():
        own = [place for place, other in enumerate(rows) if other == row]
        if end.refused_alone:
            assert own[end.delivered] in poison
        elif len(poison) <= 1 and has_row_behind:
            assert end.delivered == len(own)
    assert poison.isdisjoint(taken)


@given(ROWS, st.sampled_from([400, REFUSED, 500, 503]))
def test_a_dead_endpoint_costs_three_requests_at_most_and_counts_once_for_each_row(rows: list[int], code: int) -> None:
    requests, taken, ended = narrowed(rows, lambda _: code)
    assert len(requests) <= REQUESTS_MAX_WITHOUT_SUCCESS
    assert (taken, set(ended)) == ([], set(rows))


@given(ROWS, st.data())
def test_one_bad_event_costs_no_more_requests_than_time_is_allowed_for(rows: list[int], data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, len(rows) - 1))
    requests, _, _ = narrowed(rows, poisoned({bad}))
    assert len(requests) <= requests_max_of(len(rows))


@given(ROWS, st.data())
def test_an_endpoint_that_takes_so_many_bytes_only_is_sent_what_it_takes(rows: list[int], data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 100), min_size=len(rows), max_size=len(rows)))
    limit = data.draw(st.integers(100, 1000))
    requests, taken, ended = narrowed(
        rows, lambda request: None if sum(sizes[place] for place in request) <= limit else TOO_LARGE
    )
    assert taken == list(range(len(rows))), "all of it, in order"
    assert all(not end.refused_alone for end in ended.values())
    assert len(requests) <= 2 * len(rows)


@given(st.integers(2, 5000), st.integers(2048, 400_000), st.integers(1, 100))
def test_the_byte_cap_finds_what_an_endpoint_takes_and_never_stays_below_half_of_it(
    first: int, limit: int, rounds: int
) -> None:
    cap = ByteCap(first * 1024)
    refusals = 0
    for _ in range(rounds):
        if cap.now > limit:
            cap.refused(cap.now)
            refusals += 1
        else:
            assert cap.now * 2 >= min(limit, first * 1024) - 1
            cap.taken()
    assert refusals <= rounds // 5 + first.bit_length() + 1


class Endpoint:
    """Refuses what holds poison; is down, or takes few only, for its first requests."""

    def __init__(self, poison: set[tuple[int, int]], moods: list[int | None]) -> None:
        self.poison, self.moods = poison, moods
        self.taken: list[tuple[int, int]] = []
        self.requests = 0

    def post(self, events: list[tuple[int, int]]) -> int | None:
        self.requests += 1
        status = self.moods.pop() if self.moods else None
        if status is None and self.poison.isdisjoint(events):
            self.taken += events
            return None
        return status or REFUSED


@given(
    lanes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    events_max=st.integers(1, 16),
    retries=st.integers(0, 4),
    data=st.data(),
)
def test_whatever_is_refused_only_poison_is_buried_and_order_per_key_is_kept(
    lanes: list[int], events_max: int, retries: int, data: st.DataObject
) -> None:
    every = [(lane, seq) for lane, count in enumerate(lanes) for seq in range(count)]
    poison = data.draw(st.sets(st.sampled_from(every)))
    # Endpoints that fail whole use up attempts by right: those that spoil this many requests bury nothing here.
    moods = data.draw(st.lists(st.sampled_from([None, TOO_LARGE, 500]), max_size=2 if retries >= 3 else 0))
    endpoint = Endpoint(poison, moods)
    heads, failed, buried = dict.fromkeys(range(len(lanes)), 0), dict.fromkeys(every, 0), list[tuple[int, int]]()
    for _ in range(20 * len(every) + 100):
        left = [lane for lane, count in enumerate(lanes) if heads[lane] < count]
        if not left:
            break
        for lane, end in one_round(left, lanes, heads, failed, events_max, retries, endpoint):
            heads[lane] += end.delivered
            head = (lane, heads[lane])
            if not end.delivered and not end.is_untried:
                failed[head] += 1
                if failed[head] > retries or (end.refused_alone and head in poison):
                    buried.append(head)
                    heads[lane] += 1
    else:
        raise AssertionError("it does not end")
    assert set(buried) == poison
    assert sorted(endpoint.taken) == [event for event in every if event not in poison]
    for lane in range(len(lanes)):
        own = [seq for other, seq in endpoint.taken if other == lane]
        assert own == sorted(own)


def one_round(
    left: list[int],
    lanes: list[int],
    heads: dict[int, int],
    failed: dict[tuple[int, int], int],
    events_max: int,
    retries: int,
    endpoint: Endpoint,
) -> list[tuple[int, Ended[int]]]:
    """One batch of those lanes that may go with the first one."""

    def most(lane: int) -> int:
        made = failed[lane, heads[lane]]
        return events_max_of(made, events_max, is_last_chance=made >= retries)

    room = most(left[0])
    assert room in (1, isqrt(events_max), events_max)
    together = [lane for lane in left if most(lane) == room][:room]
    events: list[tuple[int, int]] = []
    for place, lane in enumerate(together):
        share = room - len(events) - (len(together) - place - 1)
        behind = range(heads[lane] + 1, lanes[lane])
        events += [(lane, seq) for seq in (heads[lane], *behind) if seq == heads[lane] or not failed[lane, seq]][:share]
    before = endpoint.requests
    _, _, ended = narrowed(
        [lane for lane, _ in events], lambda request: endpoint.post([events[place] for place in request])
    )
    assert endpoint.requests - before <= requests_max_of(len(events)) * len(events)
    return list(ended.items())
