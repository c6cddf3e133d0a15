"""Progress: how much of its window a run has settled, and how long the rest may take. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pipeline.faces import Partition
from pipeline.runs.rows import picked_in, places_of
from pipeline.subscription import StoredRun
from pipeline.subscription.spans import count, cut

MEASURED_AFTER_S = 2.0


class Progress(msgspec.Struct, frozen=True):
    """Offsets of its window that are settled, and all of them; ``eta_s`` seconds until the rest is, None when nobody
    can know (it is paused, or has done nothing yet and has no rate cap).
    """

    done: int
    total: int
    eta_s: float | None = None


def done_of(run: StoredRun, reached: Mapping[Partition, int]) -> int:
    """Offsets it took that lie below what its group has ``reached``."""
    done = 0
    for place in places_of(run):
        first, _ = run.window[place[0]][place[1]]
        done += count(cut(picked_in(run, place), first, reached.get(place, first)))
    return done


def eta_s_of(left: int, done: int, elapsed_s: float, rate_per_s: float | None) -> float | None:
    """Seconds for ``left`` offsets at the rate measured so far, or at the rate cap where that says longer. Offsets that
    a filter leaves out make it shorter, never longer.
    """
    if left <= 0:
        return 0.0
    capped_s = left / rate_per_s if rate_per_s is not None else None
    measured_s = left * elapsed_s / done if done > 0 and elapsed_s >= MEASURED_AFTER_S else None
    known = [seconds for seconds in (capped_s, measured_s) if seconds is not None]
    return round(max(known), 1) if known else None
