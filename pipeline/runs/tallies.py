"""Tallies: what the workers of a run counted, a row for each worker, so that anybody can tell delivered from skipped.

Offsets alone do not say it: a window has holes, and events that its filters leave out. Rows are written once a second,
so a worker that is killed takes the last second's counts with it: those events count as skipped, or, where they are
delivered again, as delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pipeline.faces import Partition, StoredRow


class Tally(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was ``delivered``, what was ``dead_lettered`` (of a shadow: given up), for how long a worker was at it, and
    how far the run was then: topic to partition to next offset.
    """

    delivered: int = 0
    dead_lettered: int = 0
    active_s: float = 0.0
    reached: dict[str, dict[int, int]] = {}

    def offsets(self) -> dict[Partition, int]:
        return {(topic, number): at for topic, parts in self.reached.items() for number, at in parts.items()}


def tally_name(group: str, worker: str) -> str:
    """The name of the row that ``worker`` writes for the run with this group."""
    return f"{group}/{worker}"


def read_tally(value: bytes) -> Tally | None:
    """None for what is no tally (a later release's): it is as if nobody had counted."""
    try:
        return msgspec.json.decode(value, type=Tally)
    except msgspec.MsgspecError:
        return None


def summed(rows: Mapping[str, StoredRow], group: str) -> Tally | None:
    """What all workers of a run counted; None: nobody did. They work beside each other, so the time is the longest."""
    prefix = f"{group}/"
    found = [tally for name, row in rows.items() if name.startswith(prefix) and (tally := read_tally(row.value))]
    return _sum(found) if found else None


def _sum(tallies: Iterable[Tally]) -> Tally:
    delivered = dead_lettered = 0
    active_s = 0.0
    reached: dict[str, dict[int, int]] = {}
    for one in tallies:
        delivered += one.delivered
        dead_lettered += one.dead_lettered
        active_s = max(active_s, one.active_s)
        for (topic, number), at in one.offsets().items():
            parts = reached.setdefault(topic, {})
            parts[number] = max(at, parts.get(number, 0))
    return Tally(delivered=delivered, dead_lettered=dead_lettered, active_s=active_s, reached=reached)
