"""How many attempts may be under way."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from pipeline.delivery.limiter import Limiter
from pipeline.delivery.settings import LimiterSettings


def limiter(
    in_flight_max: int = 4, slow_max: int = 2, slow_after_s: float = 1.0, rate_per_s: float | None = None
) -> Limiter[str]:
    return Limiter(
        LimiterSettings(
            in_flight_max=in_flight_max, slow_max=slow_max, slow_after_s=slow_after_s, rate_per_s=rate_per_s
        )
    )


def begin(limits: Limiter[str], attempts: str, now: float = 0.0) -> None:
    for attempt in attempts:
        limits.begin(attempt, now)


def test_attempts_begin_up_to_the_cap() -> None:
    limits = limiter()
    assert limits.free(0.0) == 4
    begin(limits, "abc")
    assert limits.free(0.0) == 1
    begin(limits, "d")
    assert limits.free(0.0) == 0


def test_an_attempt_that_ends_gives_its_slot_back() -> None:
    limits = limiter()
    begin(limits, "abcd")
    limits.end("b", 0.1)
    assert limits.free(0.1) == 1


def test_hanging_attempts_leave_the_cap_oldest_first() -> None:
    limits = limiter()
    begin(limits, "a", 0.0)
    begin(limits, "b", 0.4)
    begin(limits, "cd", 0.9)
    assert limits.set_slow_aside(1.0) == ["a"]
    assert limits.set_slow_aside(1.4) == ["b"]
    assert limits.free(1.4) == 2


def test_attempts_that_do_not_hang_stay() -> None:
    limits = limiter()
    begin(limits, "ab")
    assert limits.set_slow_aside(0.99) == []


def test_the_slow_cap_is_a_cap_too() -> None:
    limits = limiter(slow_max=2)
    begin(limits, "abcd")
    assert limits.set_slow_aside(9.0) == ["a", "b"]
    assert limits.set_slow_aside(99.0) == []
    assert (len(limits.in_flight), len(limits.slow)) == (2, 2)


def test_a_slow_attempt_that_ends_makes_room_for_another() -> None:
    limits = limiter(slow_max=1)
    begin(limits, "ab")
    limits.set_slow_aside(9.0)
    limits.end("a", 9.0)
    assert limits.set_slow_aside(9.0) == ["b"]


def test_an_attempt_broken_off_frees_its_slot_and_tells_no_latency() -> None:
    limits = limiter()
    begin(limits, "ab")
    limits.set_slow_aside(1.0)
    begin(limits, "c", 1.0)
    before = limits.latency_s
    for attempt in "abc":
        limits.drop(attempt)
    assert limits.free(1.0) == 4
    assert not limits.slow
    assert limits.latency_s == before


def test_what_hangs_is_measured_by_the_usual_latency() -> None:
    limits = limiter()
    for _ in range(500):
        limits.begin("a", 0.0)
        limits.succeeded(limits.end("a", 0.5))
    assert limits.latency_s == pytest.approx(0.5, rel=0.05)
    assert limits.slow_after_s == pytest.approx(4.0, rel=0.05)


def test_attempts_that_hang_do_not_pass_for_usual() -> None:
    limits = limiter(slow_max=0)
    for number in range(1000):
        limits.begin("a", 0.0)
        limits.succeeded(limits.end("a", 60.0 if number % 3 == 0 else 0.01))
    assert limits.slow_after_s == 1.0


def test_a_fast_endpoint_does_not_make_hanging_out_of_little() -> None:
    limits = limiter()
    for _ in range(500):
        limits.begin("a", 0.0)
        limits.succeeded(limits.end("a", 0.001))
    assert limits.slow_after_s == 1.0


def test_a_reply_that_asks_for_patience_halves_the_cap() -> None:
    limits = limiter(in_flight_max=8)
    limits.asked_for_patience(0.0)
    assert limits.free(0.0) == 4


def test_many_such_replies_at_once_are_one() -> None:
    limits = limiter(in_flight_max=8)
    for now in (0.0, 0.5, 0.99):
        limits.asked_for_patience(now)
    assert limits.free(1.0) == 4
    limits.asked_for_patience(1.0)
    assert limits.free(1.0) == 2


def test_one_slot_always_remains() -> None:
    limits = limiter()
    for now in range(20):
        limits.asked_for_patience(float(now))
    assert limits.free(20.0) == 1


def test_a_cap_below_what_is_under_way_gives_nothing() -> None:
    limits = limiter(in_flight_max=4)
    begin(limits, "abcd")
    limits.asked_for_patience(0.0)
    assert limits.free(0.0) == 0


def test_about_as_many_successes_as_slots_give_one_slot_back() -> None:
    limits = limiter(in_flight_max=8)
    limits.asked_for_patience(0.0)
    successes = 0
    while limits.free(0.0) < 5:
        limits.succeeded(0.1)
        successes += 1
    assert 4 <= successes <= 5


def test_the_cap_comes_back_to_its_setting_and_no_further() -> None:
    limits = limiter(in_flight_max=8)
    limits.asked_for_patience(0.0)
    for _ in range(1000):
        limits.succeeded(0.1)
    assert limits.free(0.0) == 8


def test_the_rate_gives_one_token_at_a_time() -> None:
    limits = limiter(rate_per_s=2.0)
    assert limits.free(0.0) == 1
    begin(limits, "a")
    assert limits.free(0.0) == 0
    assert limits.free(0.4) == 0
    assert limits.free(0.5) == 1


def test_a_rate_saves_up_a_tenth_of_a_second_at_most() -> None:
    limits = limiter(in_flight_max=100, rate_per_s=50.0)
    limits.free(0.0)
    assert limits.free(1_000.0) == 5


def test_tokens_do_not_lift_the_cap() -> None:
    limits = limiter(in_flight_max=2, rate_per_s=1_000.0)
    limits.free(0.0)
    assert limits.free(10.0) == 2


@pytest.mark.parametrize("rate_per_s", [0.1, 3.0, 7.0, 1_000.0])
def test_at_the_time_named_a_token_is_there(rate_per_s: float) -> None:
    limits, now = limiter(rate_per_s=rate_per_s), 123_456.789
    for _ in range(50):
        assert limits.free(now) == 1
        limits.begin("a", now)
        limits.end("a", now)
        due = limits.may_begin_at(now)
        assert due == pytest.approx(now + 1 / rate_per_s)
        now = due


def test_with_a_slot_free_an_attempt_may_begin_now() -> None:
    assert limiter().may_begin_at(5.0) == 5.0


def test_with_the_cap_full_the_oldest_attempt_may_be_set_aside_first() -> None:
    limits = limiter()
    begin(limits, "a", 0.0)
    begin(limits, "bcd", 0.5)
    assert limits.may_begin_at(0.7) == 1.0
    limits.set_slow_aside(1.0)
    assert limits.free(1.0) == 1


def test_with_the_cap_halved_as_many_have_to_hang() -> None:
    limits = limiter(in_flight_max=4, slow_max=8)
    for attempt, now in zip("abcd", (0.0, 0.1, 0.2, 0.3), strict=True):
        limits.begin(attempt, now)
    limits.asked_for_patience(0.4)
    assert limits.may_begin_at(0.5) == pytest.approx(1.2)
    limits.set_slow_aside(1.2)
    assert limits.free(1.2) == 1


def test_with_both_caps_full_only_a_result_helps() -> None:
    limits = limiter(in_flight_max=1, slow_max=1)
    begin(limits, "a")
    limits.set_slow_aside(1.0)
    begin(limits, "b", 1.0)
    assert limits.may_begin_at(1.0) == inf


# -- what results say of the endpoint ----------------------------------------------------------------------------------


def test_the_cap_never_falls_below_its_floor() -> None:
    limits: Limiter[str] = Limiter(LimiterSettings(in_flight_min=3, in_flight_max=8))
    for now in range(20):
        limits.asked_for_patience(float(now))
    assert limits.free(20.0) == 3


def test_few_signs_of_strain_mean_nothing() -> None:
    limits = limiter(in_flight_max=8)
    for _ in range(31):
        limits.strained(0.0)
    assert limits.free(0.0) == 8


def test_many_without_successes_halve_the_cap() -> None:
    limits = limiter(in_flight_max=8)
    for _ in range(32):
        limits.strained(0.0)
    assert limits.free(0.0) == 4


def test_many_among_successes_mean_nothing() -> None:
    limits = limiter(in_flight_max=1_000)
    limits.strained(0.0)
    for _ in range(40):
        limits.succeeded(0.1)
        limits.strained(0.5)
    assert limits.free(0.5) == 1_000


def test_half_the_keys_failing_is_hardly_ever_taken_for_strain() -> None:
    chance, seconds = Random(7), 1_000
    cut = 0
    for _ in range(seconds):
        limits = limiter(in_flight_max=1_000)
        for _ in range(500):
            if chance.random() < 0.5:
                limits.succeeded(0.1)
            else:
                limits.strained(0.0)
        cut += limits.free(0.0) < 1_000
    assert cut <= seconds * 0.03


def test_what_strained_long_ago_counts_no_more() -> None:
    limits = limiter(in_flight_max=8)
    for now in range(100):
        limits.strained(float(now))
    assert limits.free(100.0) == 8


def test_after_an_outage_the_cap_begins_small_and_doubles_with_each_round() -> None:
    limits = limiter(in_flight_max=50)
    limits.outage_over()
    caps = []
    while limits.cap < 50:
        caps.append(limits.free(0.0))
        for _ in range(caps[-1]):
            limits.succeeded(0.1)
    assert caps == [2, 4, 8, 16, 32]


def test_an_endpoint_that_asks_for_less_while_it_comes_back_gets_more_only_slowly() -> None:
    limits = limiter(in_flight_max=50)
    limits.outage_over()
    for _ in range(14):
        limits.succeeded(0.1)
    limits.asked_for_patience(0.0)
    for _ in range(8):
        limits.succeeded(0.1)
    assert limits.free(0.0) == 8


def test_a_ceiling_below_the_slow_start_is_kept() -> None:
    limits = limiter(in_flight_max=1)
    limits.outage_over()
    assert limits.free(0.0) == 1


def test_a_burst_is_saved_up_for_as_long_as_the_setting_says() -> None:
    limits: Limiter[str] = Limiter(LimiterSettings(rate_per_s=10.0, burst_s=2.0))
    limits.free(0.0)
    assert limits.free(60.0) == 20


# -- attempts that begin in the slow cap -------------------------------------------------------------------------------


def test_an_attempt_may_begin_in_the_slow_cap() -> None:
    limits = limiter(slow_max=2)
    limits.begin_slow("a", 1.0)
    assert (limits.free(1.0), limits.free_slow(1.0)) == (4, 1)
    assert limits.end("a", 3.5) == 2.5


def test_room_that_is_kept_for_them_is_not_taken_by_what_hangs() -> None:
    limits = limiter(slow_max=2)
    begin(limits, "abcd")
    limits.reserve(waiting=5, begun=0)
    assert limits.set_slow_aside(9.0) == ["a"]
    assert limits.slow_is_full
    begin(limits, "e", 9.0)
    assert limits.may_begin_at(9.0) == inf
    limits.reserve(waiting=5, begun=1)
    assert limits.set_slow_aside(9.0) == ["b"]


# -- events that go along ------------------------------------------------------------------------------------------


def test_what_goes_along_takes_tokens_and_the_next_waits_for_them() -> None:
    limiter = Limiter[int](LimiterSettings(rate_per_s=10.0))
    assert limiter.free(0.0) == 1
    limiter.begin(1, 0.0)
    assert limiter.along_max(0.0) == 10, "a second's worth ahead of its time"
    limiter.went_along(10)
    assert (limiter.along_max(0.0), limiter.free(0.0)) == (0, 0)
    assert limiter.token_at(0.0) == pytest.approx(1.1)
    assert limiter.free(1.05) == 0
    assert limiter.free(1.1) == 1


def test_with_a_low_rate_nothing_goes_along() -> None:
    limiter = Limiter[int](LimiterSettings(rate_per_s=0.5))
    limiter.begin(1, 0.0)
    assert limiter.along_max(0.0) == 0


def test_without_a_rate_what_goes_along_takes_nothing() -> None:
    limiter = Limiter[int](LimiterSettings())
    limiter.went_along(1_000)
    assert (limiter.is_rated, limiter.free(0.0)) == (False, 128)


def test_attempts_that_take_no_time_leave_a_latency_that_can_grow_again() -> None:
    limiter = Limiter[int](LimiterSettings())
    for _ in range(100_000):
        limiter.succeeded(0.0)
    for _ in range(500):
        limiter.succeeded(1.0)
    assert limiter.latency_s > 0.9


def test_tokens_do_not_drift() -> None:
    """A month of one event every tenth of a second, at the rate: neither a token too many nor one too few."""
    limiter = Limiter[int](LimiterSettings(rate_per_s=10.0, in_flight_max=1))
    began, now = 0, 2_600_000.0
    for _ in range(100_000):
        now = limiter.token_at(now)
        assert limiter.free(now) == 1
        limiter.begin(1, now)
        limiter.end(1, now)
        began += 1
    assert now == pytest.approx(2_600_000.0 + (began - 1) / 10, abs=1e-3)
