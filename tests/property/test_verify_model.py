"""The checker against a tiny model: a good delivery is made at random, then spoilt, and only then found fault with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.verify import Appended, Committed, Line, Received, check

T = "evt_abcdefghij_"
KEYS = st.lists(st.sampled_from("abc"), min_size=1, max_size=12)


def delivered(keys: list[str], turns: list[int]) -> list[Line]:
    """Events 0, 1, … with these keys, each key in order, keys in the order of ``turns``; committed as far as may be."""
    lanes = {key: [offset for offset, one in enumerate(keys) if one == key] for key in set(keys)}
    lines: list[Line] = [Appended(at=0.0, id=f"{T}0_{offset}", key=key) for offset, key in enumerate(keys)]
    done: set[int] = set()
    for number in range(len(keys)):
        waiting = sorted(key for key, lane in lanes.items() if lane)
        offset = lanes[waiting[turns[number % len(turns)] % len(waiting)]].pop(0)
        done.add(offset)
        lines.append(Received(at=float(2 * number + 1), id=f"{T}0_{offset}", status=204))
        watermark = next(at for at in range(len(keys) + 1) if at not in done)
        lines.append(Committed(at=float(2 * number + 2), topic=T, partition=0, offset=watermark))
    return lines


@given(KEYS, st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_a_good_delivery_is_found_good(keys: list[str], turns: list[int]) -> None:
    verified = check(delivered(keys, turns))
    assert verified.ok
    assert verified.delivered == len(keys)


@given(KEYS, st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 11), st.data())
def test_a_spoilt_one_is_not(keys: list[str], turns: list[int], which: int, data: st.DataObject) -> None:
    lines = delivered(keys, turns)
    receipts = [line for line in lines if isinstance(line, Received)]
    victim = receipts[which % len(receipts)]
    last = max(line.at for line in lines)
    spoil = data.draw(st.sampled_from(["lose", "twice", "late", "early commit"]))
    if spoil == "lose":
        lines.remove(victim)
        assert check(lines).lost == 1
    elif spoil == "twice":
        lines.append(Received(at=last + 1, id=victim.id, status=200))
        assert check(lines).duplicates == 1
    elif spoil == "late":
        lines[lines.index(victim)] = Received(at=last + 1, id=victim.id, status=204)
        verified = check(lines)
        offset = int(victim.id.rsplit("_", 1)[1])
        behind = [other for other in receipts if int(other.id.rsplit("_", 1)[1]) > offset]
        same = [other for other in behind if keys[int(other.id.rsplit("_", 1)[1])] == keys[offset]]
        assert verified.out_of_order == bool(same)
        assert verified.commits_past_unfinished >= 1
    else:
        lines.append(Committed(at=victim.at - 0.5, topic=T, partition=0, offset=len(keys)))
        assert check(lines).commits_past_unfinished >= 1
    assert not check(lines).ok
