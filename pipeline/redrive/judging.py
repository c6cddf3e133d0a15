"""Judging: which records on a dead-letter topic are the subscription's own, and why the others are not believed. Pure.

Whoever may append to the topic may write any header there, so only what this subscription could have buried itself is
taken for a dead letter of it; everything else is shown as a claim (threat S31).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pipeline.deadletter import Claim, DeadLetter, claim_of, unwrap
from pipeline.errors import FormatUnreadable
from pipeline.record import Position, Record


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """A record on the topic that this subscription did not bury: what it claims, and ``why`` it is not believed."""

    place: Position
    claim: Claim
    why: str


class Judge(NamedTuple):
    """``topics``: what the subscription reads; None where it is deleted and nobody knows any more."""

    subscription: str
    group: str
    topics: Sequence[str] | None

    def read(self, record: Record) -> DeadLetter | Foreign:
        """The dead letter in ``record``, or why it is none of this subscription's."""
        try:
            letter = unwrap(record)
        except FormatUnreadable as error:
            claim = claim_of(record)
            why = f"{error.field} is {error.value}" if claim.dialect == "pipeline" else "not written by this product"
            return Foreign(place=record.position, claim=claim, why=why)
        if letter.group != self.group:
            return self._doubted(record, f"claims another group than {self.group}")
        if self.topics is not None and letter.origin.topic not in self.topics:
            return self._doubted(record, f"claims a topic that {self.subscription} does not read")
        return letter

    @staticmethod
    def _doubted(record: Record, why: str) -> Foreign:
        return Foreign(place=record.position, claim=claim_of(record), why=why)
