"""How many finished runs are remembered, and how often a dead letter is tried again."""

from __future__ import annotations

import msgspec

from pipeline.errors import DeclarationInvalid


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``kept_max`` finished runs of each kind and subscription are kept, none longer than ``kept_days``; which dead
    letters they took is remembered beyond that. A dead letter that was redriven ``redrives_max`` times and came back
    is *parking*: only a redrive that names it takes it.
    """

    kept_max: int = 100
    kept_days: float = 30.0
    redrives_max: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.kept_max <= 10_000:
            raise DeclarationInvalid("runs.kept_max", self.kept_max, "1 to 10000 runs")
        if not 0 < self.kept_days <= 3650:
            raise DeclarationInvalid("runs.kept_days", self.kept_days, "more than 0 and at most 3650 days")
        if not 1 <= self.redrives_max <= 1000:
            raise DeclarationInvalid("runs.redrives_max", self.redrives_max, "1 to 1000 redrives")
