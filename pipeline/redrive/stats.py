"""Counts of dead letters, grouped as operators ask for them: why, with which status, of which type, how old. Pure."""

from __future__ import annotations

from collections import Counter

import msgspec

from pipeline.moment import ms_from_rfc3339
from pipeline.redrive.fates import FiledLetter
from pipeline.redrive.selection import FactsOf, type_of

GROUPS_MAX = 100
OTHER = "(other)"
_AGES_MS = (("under 1 h", 3_600_000), ("under 1 d", 86_400_000), ("under 7 d", 604_800_000))
OLDER = "7 d and older"


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """``letters`` are all that were looked at, ``states`` what became of them; everything else counts the open ones.

    At most `GROUPS_MAX` statuses and types are told apart, the rest counts as ``(other)``. ``oldest_at``: when the one
    that waits longest failed last.
    """

    letters: int
    states: dict[str, int]
    reasons: dict[str, int]
    statuses: dict[str, int]
    types: dict[str, int]
    ages: dict[str, int]
    oldest_at: str | None


class Tally:
    """Counts letter after letter. ``now_ms``: the wall clock, for ages."""

    def __init__(self, now_ms: int, facts_of: FactsOf) -> None:
        self._now_ms, self._facts_of = now_ms, facts_of
        self._letters = 0
        self._states: Counter[str] = Counter()
        self._groups: dict[str, Counter[str]] = {name: Counter() for name in ("reasons", "statuses", "types", "ages")}
        self._oldest: tuple[int, str] | None = None

    def add(self, filed: FiledLetter) -> None:
        self._letters += 1
        self._states[filed.fate.state] += 1
        if not filed.is_open:
            return
        letter = filed.letter
        at_ms = ms_from_rfc3339(letter.last_failed_at, field="dlq.last_failed_at")
        self._count("reasons", letter.reason)
        self._count("statuses", "none" if letter.http_status is None else str(letter.http_status))
        self._count("types", type_of(letter.record, self._facts_of) or "none")
        self._count("ages", age_of(self._now_ms - at_ms))
        self._oldest = min(self._oldest or (at_ms, letter.last_failed_at), (at_ms, letter.last_failed_at))

    def stats(self) -> Stats:
        groups = {name: dict(counted.most_common()) for name, counted in self._groups.items()}
        return Stats(
            letters=self._letters,
            states=dict(self._states.most_common()),
            oldest_at=self._oldest[1] if self._oldest is not None else None,
            **groups,
        )

    def _count(self, group: str, name: str) -> None:
        counted = self._groups[group]
        counted[name if name in counted or len(counted) < GROUPS_MAX else OTHER] += 1


def age_of(age_ms: int) -> str:
    return next((name for name, below_ms in _AGES_MS if age_ms < below_ms), OLDER)
