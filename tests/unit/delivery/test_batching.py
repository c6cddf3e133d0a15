from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.delivery.batching import ByteCap, Ended, Narrowing, events_max_of, may_narrow, requests_max_of


def narrowed(rows: Sequence[str], poison: set[int], status: int = 422) -> tuple[list[list[int]], set[Ended[str]]]:
    """Every request, and how each row ended, at an endpoint that refuses what holds an event of ``poison``."""
    narrowing, requests, ended = Narrowing(rows), [], set[Ended[str]]()
    while narrowing.request:
        requests.append(list(narrowing.request))
        if poison.isdisjoint(narrowing.request):
            narrowing.taken()
        else:
            narrowing.refused(status)
        ended.update(narrowing.ended())
    return requests, ended


def test_a_batch_that_is_taken_is_one_request() -> None:
    assert narrowed("aab", set()) == ([[0, 1, 2]], {Ended("a", 2, False), Ended("b", 1, False)})


def test_the_poison_event_alone_is_refused_and_the_others_are_taken() -> None:
    requests, ended = narrowed("abcdefgh", {2})
    assert requests == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4], [0, 1], [2], [3], [5, 6, 7]]
    assert ended == {Ended(row, int(row != "c"), row == "c") for row in "abcdefgh"}


def test_a_dead_endpoint_costs_three_requests_and_every_row_fails() -> None:
    requests, ended = narrowed("abcdefgh", set(range(8)))
    assert requests == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4]]
    assert ended == {Ended(row, 0, row == "e") for row in "abcdefgh"}


def test_the_one_that_is_tried_alone_is_no_follower_of_what_was_refused() -> None:
    requests, _ = narrowed("aaabaa", {0})
    assert requests[:3] == [[0, 1, 2, 3, 4, 5], [0, 1, 2], [3]]
    requests, _ = narrowed("aaaa", {3})
    assert requests[:3] == [[0, 1, 2, 3], [0, 1], [2]]


def test_what_stands_behind_a_refused_event_in_its_row_is_not_sent() -> None:
    requests, ended = narrowed("aaaabb", {1})
    assert ended == {Ended("a", 1, True), Ended("b", 2, False)}
    assert all(2 not in request and 3 not in request for request in requests[2:])


def test_who_was_not_found_out_is_untried_where_something_was_taken() -> None:
    """More poison than one descent finds: what is left may go on as it is."""
    _, ended = narrowed("abcdefghijklmnop", set(range(8, 16)))
    untried = {end.row for end in ended if end.is_untried}
    assert untried
    assert all(end.refused_alone for end in ended if end.row >= "i" and end.row not in untried)


def test_an_endpoint_that_dies_while_it_narrows_is_left_alone_soon() -> None:
    narrowing = Narrowing(range(64))
    narrowing.refused(500)
    narrowing.refused(500)
    narrowing.taken()
    requests = 0
    while narrowing.request:
        narrowing.refused(500)
        requests += 1
    assert requests == 9
    assert len(narrowing.ended()) == 64


def test_halves_of_what_was_too_large_are_not_taken_for_bad() -> None:
    narrowing = Narrowing("abcd")
    narrowing.refused(413)
    narrowing.taken()
    assert list(narrowing.request) == [2, 3]


def test_an_event_too_large_by_itself_is_found_however_deep_it_lies() -> None:
    _, ended = narrowed("abcdefgh", {0}, status=413)
    assert {one for one in ended if not one.delivered} == {Ended("a", 0, True)}


def test_giving_up_ends_every_row_as_it_stands() -> None:
    narrowing = Narrowing("aabb")
    narrowing.refused(500)
    narrowing.taken()
    narrowing.give_up()
    assert not narrowing.request
    assert set(narrowing.ended()) == {Ended("a", 2, False), Ended("b", 0, False)}


def test_what_is_left_may_be_sent_without_some_rows() -> None:
    narrowing = Narrowing("abcabc")
    assert narrowing.without(frozenset("b")) == ["a", "c", "a", "c"]
    narrowing.refused(500)
    narrowing.taken()
    assert narrowing.without(frozenset()) == ["a", "b", "c"]


@pytest.mark.parametrize(("attempts", "last", "most"), [(0, False, 100), (1, False, 10), (2, False, 1), (0, True, 1)])
def test_what_failed_before_goes_with_few_and_then_alone(attempts: int, last: bool, most: int) -> None:
    assert events_max_of(attempts, 100, is_last_chance=last) == most


@pytest.mark.parametrize(
    ("status", "waits", "narrows"),
    [
        (400, False, True),
        (413, False, True),
        (500, True, True),
        (503, False, True),
        (503, True, False),
        (410, False, False),
        (429, False, False),
        (429, True, False),
    ],
)
def test_an_endpoint_that_is_gone_or_asks_for_patience_is_not_asked_again(
    status: int, waits: bool, narrows: bool
) -> None:
    assert may_narrow(status, asked_to_wait=waits) is narrows


def test_the_byte_cap_halves_what_was_too_large_and_grows_back_with_what_is_taken() -> None:
    cap = ByteCap(64_000)
    cap.refused(40_000)
    assert cap.now == 20_000
    cap.refused(1)
    assert cap.now == 1024
    for _ in range(36):
        cap.taken()
    assert cap.now == 64_000
    assert requests_max_of(100) == 17
