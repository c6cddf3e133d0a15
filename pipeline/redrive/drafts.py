"""Drafts: the row of a run that takes exactly these dead letters, and whether another took some meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.errors import Conflict
from pipeline.redrive.fates import FiledLetter
from pipeline.runs import Kind, picked_in, places_of
from pipeline.subscription import StoredRun
from pipeline.subscription.spans import Spans, overlap, spans_of

SPANS_MAX = 12_000
"""Separate stretches of offsets in one run: its row must stay below what a table takes (512 KiB)."""


class LettersTaken(Conflict):
    """Somebody else took a letter between a plan and its beginning: to redrive, discard or write it back."""


def draft_of(subscription: str, kind: Kind, letters: Iterable[FiledLetter], note: str = "") -> StoredRun:
    """A run over ``letters`` and nothing that lies between them. Raises `Conflict` when they lie too scattered."""
    offsets: dict[str, dict[int, list[int]]] = {}
    for filed in letters:
        topic, partition, offset = filed.place
        offsets.setdefault(topic, {}).setdefault(partition, []).append(offset)
    picked: dict[str, dict[int, Spans]] = {
        topic: {partition: spans_of(found) for partition, found in sorted(parts.items())}
        for topic, parts in sorted(offsets.items())
    }
    stretches = sum(len(spans) for parts in picked.values() for spans in parts.values())
    if stretches > SPANS_MAX:
        raise Conflict(f"the letters lie in {stretches} separate places, more than {SPANS_MAX}; select fewer at once")
    window = {
        topic: {partition: (spans[0][0], spans[-1][1]) for partition, spans in parts.items()}
        for topic, parts in picked.items()
    }
    return StoredRun(
        id="",
        subscription=subscription,
        kind=kind,
        window=window,
        picked=picked,
        state="active" if kind == "redrive" else "done",
        note=note,
    )


def check_untaken(draft: StoredRun, takers: Iterable[StoredRun], own_id: str = "") -> None:
    """Raise `LettersTaken` when one of ``takers`` other than itself took a letter of ``draft``."""
    wanted = {place: picked_in(draft, place) for place in places_of(draft)}
    for other in takers:
        if other.id == own_id:
            continue
        for place in places_of(other):
            if place in wanted and overlap(wanted[place], picked_in(other, place)):
                raise LettersTaken(f"{other.kind} {other.id} took some of these letters meanwhile; plan again")
