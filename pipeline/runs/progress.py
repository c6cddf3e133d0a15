"""Progress: how much of its window a run has settled and what became of it, and how long the rest may take. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pipeline.faces import Partition
from pipeline.runs.rows import picked_in, places_of, total_of
from pipeline.runs.tallies import Tally
from pipeline.subscription import StoredRun
from pipeline.subscription.spans import count, cut

MEASURED_AFTER_S = 2.0


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Of the ``total`` offsets it takes, ``done`` are settled and ``left`` are not, by what its group committed last.

    ``delivered`` and ``dead_lettered`` events, and offsets ``skipped``: no event lies there, or a filter leaves it out;
    all three as they were counted up to a second ago, None where nobody counted. ``eta_s``: seconds until the rest is
    settled, by the rate while workers were at it; None when nobody can know (it is paused, or has done nothing yet and
    has no rate cap).
    """

    done: int
    total: int
    left: int
    delivered: int | None = None
    dead_lettered: int | None = None
    skipped: int | None = None
    eta_s: float | None = None


def progress_of(
    run: StoredRun, reached: Mapping[Partition, int], tally: Tally | None, rate_per_s: float | None
) -> Progress:
    """``reached``: what its group committed; ``rate_per_s``: the cap that holds for it."""
    total = total_of(run)
    done = total if run.state == "done" else done_of(run, reached)
    counted = done if tally is None or run.state == "done" else min(done, done_of(run, tally.offsets()))
    settled = 0 if tally is None else tally.delivered + tally.dead_lettered
    skipped = max(0, counted - settled)
    eta_s: float | None = None
    if run.state in ("active", "done"):
        expected = total - done
        if tally is not None and counted > 0:
            expected = round(expected * (counted - skipped) / counted)
        eta_s = eta_s_of(total - done, done, 0.0 if tally is None else tally.active_s, rate_per_s, expected)
    return Progress(
        done=done,
        total=total,
        left=total - done,
        delivered=None if tally is None else tally.delivered,
        dead_lettered=None if tally is None else tally.dead_lettered,
        skipped=None if tally is None else skipped,
        eta_s=eta_s,
    )


def done_of(run: StoredRun, reached: Mapping[Partition, int]) -> int:
    """Offsets it took that lie below what its group has ``reached``."""
    done = 0
    for place in places_of(run):
        first, _ = run.window[place[0]][place[1]]
        done += count(cut(picked_in(run, place), first, reached.get(place, first)))
    return done


def eta_s_of(
    left: int, done: int, active_s: float, rate_per_s: float | None, expected: int | None = None
) -> float | None:
    """Seconds for ``left`` offsets at the rate of ``done`` in ``active_s``, or for the ``expected`` events among them
    (all, unless said) at the rate cap where that says longer.
    """
    if left <= 0:
        return 0.0
    capped_s = (left if expected is None else expected) / rate_per_s if rate_per_s is not None else None
    measured_s = left * active_s / done if done > 0 and active_s >= MEASURED_AFTER_S else None
    known = [seconds for seconds in (capped_s, measured_s) if seconds is not None]
    return round(max(known), 1) if known else None
