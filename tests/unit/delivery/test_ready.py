"""Ready lanes in line."""

from __future__ import annotations

from pipeline.delivery.lanes import Lane
from pipeline.delivery.ready import Line, Ready
from pipeline.delivery.states import PROVEN, SUSPECT, Standing
from tests.unit.delivery.making import lane, part


def of(standing: Standing, count: int = 1) -> list[Lane]:
    here, made = part(), []
    for _ in range(count):
        each = lane(here)
        each.standing = standing
        made.append(each)
    return made


def filled(*lanes: Lane) -> Ready:
    ready = Ready()
    for each in lanes:
        ready.append(each)
    return ready


def test_partitions_take_turns() -> None:
    line, hot, calm = Line(), part(), part()
    long, short = [lane(hot) for _ in range(4)], lane(calm)
    for each in (*long, short):
        line.append(each)
    assert line.take(3) == [long[0], short, long[1]]
    assert line.take(9) == long[2:]
    assert line.count == 0


def test_a_partition_that_comes_back_stands_at_the_end() -> None:
    line, here, there = Line(), part(), part()
    first, second, third = lane(here), lane(there), lane(here)
    line.append(first)
    assert line.take(1) == [first]
    line.append(second)
    line.append(third)
    assert line.take(2) == [second, third]


def test_lanes_of_a_partition_that_is_dropped_are_gone() -> None:
    line, here, there = Line(), part(), part()
    mine, others = lane(here), lane(there)
    line.append(mine)
    line.append(others)
    line.drop(here)
    line.drop(here)
    assert (line.count, list(line), line.take(9)) == (1, [others], [others])


def test_the_other_lane_is_not_the_last() -> None:
    line = Line()
    last, other = lanes = [lane(part()), lane(part())]
    for each in lanes:
        line.append(each)
    assert line.take_other(last) is other
    assert line.take_other(last) is None
    assert line.count == 1


def test_new_and_proven_lanes_share_the_slots() -> None:
    new, proven = of(Standing.NEW, 4), of(PROVEN, 4)
    assert filled(*proven, *new).take(4, new_max=99) == [*new[:2], *proven[:2]]


def test_slots_that_come_one_by_one_are_shared_too() -> None:
    new, proven = of(Standing.NEW, 4), of(PROVEN, 4)
    ready = filled(*new, *proven)
    assert [ready.take(1, new_max=99)[0].standing for _ in range(4)].count(PROVEN) == 2


def test_what_one_line_leaves_the_other_gets() -> None:
    new, proven = of(Standing.NEW, 1), of(PROVEN, 4)
    assert len(filled(*new, *proven).take(5, new_max=99)) == 5
    assert len(filled(*of(Standing.NEW, 4), *of(PROVEN, 1)).take(5, new_max=99)) == 5


def test_new_lanes_keep_to_their_limit() -> None:
    new, proven = of(Standing.NEW, 4), of(PROVEN, 4)
    assert filled(*new, *proven).take(6, new_max=1) == [new[0], *proven]
    assert filled(*new).take(6, new_max=1) == new[:1]
    assert filled(*new).take(6, new_max=-1) == []


def test_suspects_stand_apart() -> None:
    (suspect,) = of(SUSPECT)
    ready = filled(suspect)
    assert (ready.take(9, new_max=9), len(ready), list(ready)) == ([], 1, [suspect])
    assert ready.take_other(None) is suspect
