"""Which dead letters a redrive takes, and whether one was redriven: decided from the runs alone; pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pipeline.deadletter import REASONS, DeadLetter
from pipeline.errors import DeclarationInvalid
from pipeline.record import Position
from pipeline.subscription import StoredRun

IDS_MAX = 4000
"""Ids in one run: its row must stay below what a table takes (512 KiB)."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters by reason and by id; empty means all, both together mean both must hold."""

    reasons: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, reason in enumerate(self.reasons):
            if reason not in REASONS:
                raise DeclarationInvalid(f"/select/reasons/{number}", reason, f"one of {', '.join(sorted(REASONS))}")
        if len(self.ids) > IDS_MAX:
            raise DeclarationInvalid("/select/ids", f"{len(self.ids)} ids", f"at most {IDS_MAX} in one redrive")

    def takes(self, letter: DeadLetter) -> bool:
        return (not self.reasons or letter.reason in self.reasons) and (not self.ids or letter.id in self.ids)


def redriven_by(place: Position, letter: DeadLetter, runs: Iterable[StoredRun]) -> str | None:
    """The run that took (or is taking) the dead letter at ``place``, None when none did.

    A cancelled run's window was cut to what it had done. A redrive that failed again left a new dead letter at a place
    of its own, so the old one counts as redriven.
    """
    for run in runs:
        first, until = run.window.get(place.topic, {}).get(place.partition, (0, 0))
        if first <= place.offset < until and Selection(reasons=run.reasons, ids=run.ids).takes(letter):
            return run.id
    return None
