"""Rounds: the longest due first, changes after the interval, nobody twice at a time and nobody never."""

from __future__ import annotations

from math import inf

from pipeline.push.rounds import Rounds


def begun(*names: str, at: float = 0.0, again_s: float = 5.0) -> Rounds:
    rounds = Rounds(commit_interval_s=0.1)
    for name in names:
        rounds.settled(name, at, again_s)
    return rounds


def test_who_did_nothing_is_looked_after_when_it_was_said() -> None:
    rounds = begun("a")
    assert (rounds.take(4.9, 9), rounds.next_due) == ([], 5.0)
    assert rounds.take(5.0, 9) == ["a"]
    assert rounds.next_due == inf


def test_who_changed_is_due_an_interval_after_it_was_settled() -> None:
    rounds = begun("a")
    rounds.changed("a")
    rounds.changed("a")
    assert rounds.take(0.05, 9) == []
    assert rounds.take(0.1, 9) == ["a"]
    assert rounds.take(9.0, 9) == []


def test_a_change_makes_nobody_due_later() -> None:
    rounds = begun("a", again_s=0.01)
    rounds.changed("a")
    assert rounds.next_due == 0.01


def test_the_longest_due_goes_first_and_no_more_than_asked() -> None:
    rounds = begun("a", at=2.0)
    rounds.settled("b", 1.0, 5.0)
    rounds.settled("c", 0.0, 5.0)
    for name in "abc":
        rounds.changed(name)
    assert (rounds.take(3.0, 2), rounds.take(3.0, 2)) == (["c", "b"], ["a"])


def test_busy_ones_do_not_starve_who_is_only_looked_after() -> None:
    """With room for one of three at a time."""
    rounds = begun("a", "b", "idle")
    now, taken = 0.0, []
    while now < 6.0:
        rounds.changed("a")
        rounds.changed("b")
        for name in rounds.take(now, 1):
            taken.append(name)
            rounds.settled(name, now, 5.0)
        now += 0.1
    assert "idle" in taken
    assert abs(taken.count("a") - taken.count("b")) <= 1


def test_who_is_forgotten_or_taken_is_nobodys_turn() -> None:
    rounds = begun("a", "b")
    rounds.forget("a")
    rounds.changed("a")
    assert rounds.take(9.0, 9) == ["b"]
    rounds.changed("b")
    assert rounds.take(9.0, 9) == []
    rounds.settled("b", 9.0, 1.0)
    assert rounds.take(10.0, 9) == ["b"]
