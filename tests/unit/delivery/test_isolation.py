"""Isolation inside one endpoint and between partitions, in virtual time: what blocked keys may cost the others."""

from __future__ import annotations

import sys

from pipeline.delivery.breaker import BreakerState
from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane
from pipeline.delivery.settings import CoreSettings, LimiterSettings
from pipeline.delivery.verdict import Fault, FaultKind, Reply, verdict_of
from pipeline.record import Record
from pipeline.subscription import RetryPolicy
from tests.unit.delivery.endpoint_days import Answer, Day
from tests.unit.delivery.making import FAILED, record

PARTITIONS, KEYS, EVENTS = 12, 10_000, 50_000
VALUE = b"x" * 1024
UNAVAILABLE = verdict_of(Reply(503, None, 0.001), frozenset(), 0.0)
REFUSED = verdict_of(Fault(FaultKind.CONNECT, "refused", 0.001), frozenset(), 0.0)
QUICK, USUAL = Answer(0.002), Answer(0.02)


def log_of(events: int = EVENTS, keys: int = KEYS) -> dict[int, list[Record]]:
    """``events`` events over ``keys`` keys; a key's partition and parity are those of its number."""
    log: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}
    for number in range(events):
        key = number % keys
        of = log[key // 2 % PARTITIONS]
        of.append(Record("orders", key // 2 % PARTITIONS, len(of), 0, b"%d" % key, VALUE))
    return log


def settings(in_flight_max: int = 128) -> CoreSettings:
    limiter = LimiterSettings(in_flight_max=in_flight_max, slow_max=in_flight_max * 4)
    return CoreSettings(limiter=limiter)


def is_odd(record: Record) -> bool:
    return int(record.key or b"0") % 2 == 1


def good_of(day: Day) -> list[float]:
    return sorted(at for (p, offset), at in day.delivered.items() if not is_odd(day.log[p][offset]))


def test_half_the_keys_hang_and_the_other_half_goes_on() -> None:
    """Half of the keys hold each attempt for 5 s and fail then: at least half of the good events arrive in 30 s."""
    day = Day(settings(), log_of(), lambda record: Answer(5.0, UNAVAILABLE) if is_odd(record) else QUICK)
    day.run(30.0)
    assert len(good_of(day)) >= 12_500
    assert day.under_way_max <= 128 * 5
    assert day.core.breaker.state is BreakerState.CLOSED


def test_half_the_keys_fail_and_the_other_half_is_as_quick_as_ever() -> None:
    undisturbed = Day(settings(), log_of(), lambda _: USUAL)
    undisturbed.run(60.0)
    day = Day(settings(), log_of(), lambda record: Answer(0.001, UNAVAILABLE) if is_odd(record) else USUAL)
    day.run(60.0)
    assert len(good_of(day)) == len(good_of(undisturbed)) == EVENTS // 2
    assert good_of(day)[-1] <= good_of(undisturbed)[-1] / 0.9


def test_a_hot_partition_holds_up_no_other() -> None:
    """Partition 0 has more than there is room for before the first event of partition 1 is read."""
    log = {0: [record(at, b"%d" % at, size=1024) for at in range(20_000)], 1: []}
    day = Day(settings(in_flight_max=8), log, lambda _: USUAL)
    day.run(0.5)
    log[1].extend(Record("orders", 1, at, 0, b"%d" % at, VALUE) for at in range(5))
    day.run(1.0)
    assert len([at for (partition, _), at in day.delivered.items() if partition == 1]) == 5


def test_a_partition_whose_keys_all_wait_leaves_room_for_the_others() -> None:
    log = {0: [record(at, b"%d" % at) for at in range(20_000)], 1: []}
    made = CoreSettings(positions_max=10_000)
    day = Day(made, log, lambda record: Answer(0.001, FAILED) if record.partition == 0 else USUAL)
    day.run(0.1)
    assert not day.core.has_room_for(0)
    assert day.core.has_room_for(1)


def test_an_outage_uses_up_one_attempt_of_a_few_events_and_then_none() -> None:
    day = Day(settings(), log_of(events=2_000), lambda _: Answer(0.001, REFUSED))
    day.run(3_600.0)
    counted = [count for partition in day.log for count, _ in day.core.commit_of(partition).attempts.values()]
    assert counted
    assert max(counted) == 1
    assert len(counted) <= 128


def test_an_endpoint_with_one_event_an_hour_is_probed_instead_of_losing_them() -> None:
    """No connection for a day: the schedule of the first event is long over, and it still waits."""
    day = Day(settings(), {0: [record(0, b"a")]}, lambda _: Answer(0.001, REFUSED))
    day.run(86_400.0)
    assert day.core.breaker.state is not BreakerState.CLOSED
    assert day.core.commit_of(0).offset == 0
    assert day.core.commit_of(0).attempts[0][0] <= 3


def test_one_poison_event_is_given_up_while_others_succeed() -> None:
    log = {0: [record(at, b"%d" % at) for at in range(500)]}
    made = CoreSettings(retry=RetryPolicy(schedule_s=(1.0, 1.0, 1.0)))
    day = Day(made, log, lambda record: Answer(0.001, FAILED) if record.offset == 7 else Answer(0.5))
    buried: list[int] = []
    day.on_bury = lambda lane: buried.append(lane.offset)
    day.run(60.0)
    assert buried == [7]
    assert day.core.commit_of(0).offset == 500


def test_after_an_outage_the_endpoint_gets_few_at_first_and_soon_all() -> None:
    up_at = 30.0
    day: Day

    def answer(_: Record) -> Answer:
        return Answer(0.001, FAILED) if day.now < up_at else Answer(1.0)

    day = Day(settings(), log_of(events=20_000), answer)
    day.run(up_at)
    rounds = []
    while len(day.core.limiter.in_flight) < 128 and day.now < 200.0:
        day.run(day.now + 1.0)
        rounds.append(len(day.core.limiter.in_flight))
    begun = [count for count in rounds if count > 1]
    assert begun[0] <= 4
    assert len(begun) <= 8


def test_ten_thousand_waiting_lanes_cost_nothing_per_record() -> None:
    """Counted in calls, which tell the same on every machine."""
    assert calls_to_deliver(1_000, waiting=10_000) == calls_to_deliver(1_000, waiting=10)


def calls_to_deliver(events: int, waiting: int) -> int:
    core = Core(CoreSettings(limiter=LimiterSettings(in_flight_max=20_000)))
    core.assign(0, 0)
    core.receive(0, [record(at, b"w%d" % at) for at in range(waiting)], waiting)
    for lane in core.actions(0.0).sends:
        core.failed(lane, FAILED, 0.0, 0.0)
    core.succeeded(begin_one(core, waiting), 0.0)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        for at in range(waiting + 1, waiting + 1 + events):
            core.succeeded(begin_one(core, at), 0.0)
    finally:
        sys.setprofile(None)
    return calls


def begin_one(core: Core, at: int) -> Lane:
    core.receive(0, [record(at, b"k")], at + 1)
    (lane,) = core.actions(0.0).sends
    return lane
