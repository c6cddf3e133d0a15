"""The bench's endpoint sees what is lost, doubled or out of order, so that its zeros say something."""

from __future__ import annotations

import json
from collections import Counter

from bench.load import Work, events
from bench.sink import Counts, key_and_seq


def told(*seen: tuple[bytes, int]) -> dict[str, float]:
    counts = Counts()
    for key, seq in seen:
        counts.note(key, seq)
    answer: dict[str, float] = json.loads(counts.told())
    return answer


def test_numbers_in_turn_are_in_order() -> None:
    seen = told((b"a", 0), (b"b", 0), (b"a", 1))
    assert (seen["events"], seen["duplicates"], seen["violations"]) == (3, 0, 0)


def test_a_number_seen_before_is_a_duplicate_and_no_event() -> None:
    seen = told((b"a", 0), (b"a", 0))
    assert (seen["events"], seen["duplicates"], seen["violations"]) == (1, 1, 0)


def test_a_number_too_early_is_out_of_order() -> None:
    assert told((b"a", 1), (b"a", 0))["violations"] == 1


def test_the_body_says_key_and_number() -> None:
    assert key_and_seq(b'{"key":"k17","seq":3,"pad":"x"}') == (b"k17", 3)


def test_the_work_is_what_the_sink_expects_to_see() -> None:
    work = Work(events=50, event_bytes=200, keys=20)
    made = list(events(work))
    assert told(*(key_and_seq(one.value) for one in made))["violations"] == 0
    assert {len(one.value) for one in made} == {200}
    assert set(Counter(one.key for one in made).values()) == {2, 3}
