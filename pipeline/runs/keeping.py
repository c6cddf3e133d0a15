"""Keeping: which finished runs are forgotten, and what of them has to be remembered. Pure.

A replay is forgotten whole. Runs that took dead letters are folded into one row for each subscription and kind before
they go: which letters were taken must be known as long as the letters lie there, or they would be offered again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pipeline.faces import Partition
from pipeline.runs.rows import StampedRun, in_rows, picked_in, places_of
from pipeline.runs.settings import RunSettings
from pipeline.subscription import StoredRun
from pipeline.subscription.spans import Spans, cut, joined

FOLDED = "earlier"
_DAY_MS = 86_400_000


class Kept:
    """Decides by ``settings``."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings

    def outlived(self, runs: Sequence[StampedRun], now_ms: int) -> list[StampedRun]:
        """Those of ``runs`` (one subscription and kind, the newest first) that are over and need not be kept."""
        over = [one for one in runs if one.run.state in ("done", "cancelled") and not is_folded(one.run)]
        oldest_ms = now_ms - int(self._settings.kept_days * _DAY_MS)
        return [
            one for number, one in enumerate(over) if number >= self._settings.kept_max or made_ms(one.run) < oldest_ms
        ]


def folded_id(subscription: str, kind: str) -> str:
    """The id of the row that remembers what forgotten runs took."""
    return f"{FOLDED}.{kind}.{subscription}"


def is_folded(run: StoredRun) -> bool:
    return run.id.startswith(f"{FOLDED}.")


def made_ms(run: StoredRun) -> int:
    """When it was made, in milliseconds since 1970: the first twelve characters of its id."""
    try:
        return int(run.id[:12], 16)
    except ValueError:
        return 0


def folded(before: StoredRun | None, gone: Iterable[StoredRun], starts: Mapping[Partition, int]) -> StoredRun:
    """One row that took what ``before`` and ``gone`` took, without what lies below the ``starts`` of the log."""
    runs = [*([before] if before is not None else []), *gone]
    spans: dict[Partition, list[tuple[int, int]]] = {}
    for run in runs:
        for place in places_of(run):
            spans.setdefault(place, []).extend(picked_in(run, place))
    held: dict[Partition, Spans] = {}
    for place, ranges in spans.items():
        whole = joined(ranges)
        held[place] = cut(whole, starts.get(place, 0), whole[-1][1]) if whole else ()
    picked: dict[str, dict[int, Spans]] = {}
    for (topic, partition), taken in sorted(held.items()):
        if taken:
            picked.setdefault(topic, {})[partition] = taken
    window = in_rows({place: (taken[0][0], taken[-1][1]) for place, taken in held.items() if taken})
    last = runs[-1]
    return msgspec.structs.replace(
        last,
        id=folded_id(last.subscription, last.kind),
        window=window,
        picked=picked,
        reasons=(),
        ids=(),
        state="done",
        note=FOLDED,
    )
