"""Windows: what was asked for held against what the log holds, partition by partition. Pure.

Nothing is clamped silently: a bound that the log does not reach is told with what it would become.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from pipeline.errors import CursorEpochChanged, DeclarationInvalid
from pipeline.faces import Partition, TopicFacts
from pipeline.replay.asked import Bound
from pipeline.subscription.spans import Spans, spans_of
from pipeline.webhookid import id_parts, id_prefix


class Held(NamedTuple):
    """What a partition holds: its first offset and the one behind its last."""

    start: int
    end: int


class Clamp(NamedTuple):
    """A bound of ``place`` that the log does not reach: ``asked`` (None: a time) became ``given``."""

    place: Partition
    asked: int | None
    given: int

    def __str__(self) -> str:
        topic, partition = self.place
        if self.asked is None:
            return f"{topic}/{partition}: retention took what came before {self.given}"
        return f"{topic}/{partition}: {self.asked} lies outside, {self.given} is the nearest"


class WindowPart(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of a plan: ``count`` offsets from ``first`` to ``until`` (exclusive), at most so many events; when
    its first and last event were made (None: not on the log any more, or not looked up).
    """

    topic: str
    partition: int
    first: int
    until: int
    count: int
    first_at: str | None = None
    last_at: str | None = None
    clamped: str | None = None


def named_offsets(bound: Bound, topics: Mapping[str, TopicFacts], field: str) -> dict[Partition, int]:
    """The offsets of a bound that names partitions (``offsets``), which are then all that the window has."""
    found: dict[Partition, int] = {}
    for text, offset in bound.offsets.items():
        topic, _, number = text.rpartition("/")
        if not topic and len(topics) == 1:
            topic = next(iter(topics))
        known = topics.get(topic)
        if known is None or not number.isdecimal() or int(number) >= known.partitions:
            at = f"{field}/{text.replace('~', '~0').replace('/', '~1')}"
            raise DeclarationInvalid(
                at, text, f"a partition of {', '.join(sorted(topics))}, such as {_example(topics)}"
            )
        found[topic, int(number)] = offset
    return found


def token_offsets(bound: Bound, topics: Mapping[str, TopicFacts], field: str) -> dict[Partition, int]:
    """The offsets of a cursor token, which names partitions of one topic; those it leaves out are no part of it."""
    token = bound.token
    assert token is not None
    own = [facts for facts in topics.values() if token.fits(facts.topic_id)]
    if not own:
        raise CursorEpochChanged(f"{field}: a cursor of none of the topics {sorted(topics)} as they are now")
    facts = own[0]
    return {(facts.name, number): at for number, at in token.next_offsets.items() if number < facts.partitions}


def bounded(
    wanted: Mapping[Partition, int], held: Mapping[Partition, Held]
) -> tuple[dict[Partition, int], list[Clamp]]:
    """``wanted`` within what is ``held``, and each place where that made a difference."""
    found: dict[Partition, int] = {}
    clamps: list[Clamp] = []
    for place, offset in wanted.items():
        start, end = held[place]
        found[place] = min(max(offset, start), end)
        if found[place] != offset:
            clamps.append(Clamp(place, offset, found[place]))
    return found, clamps


def taken_by_retention(found: Mapping[Partition, int], held: Mapping[Partition, Held]) -> list[Clamp]:
    """Places where a time led to the log start although something lay before it once: that may be missing."""
    return [Clamp(place, None, at) for place, at in found.items() if at == held[place].start and at > 0]


def picked_by_ids(
    ids: Sequence[str], topics: Mapping[str, TopicFacts], held: Mapping[Partition, Held]
) -> tuple[dict[Partition, Spans], list[Clamp]] | None:
    """The offsets that webhook ``ids`` name, and those that the log does not hold; None: they are event ids.

    Raises `DeclarationInvalid` for a mixture, or an id of no topic here.
    """
    parts = [id_parts(one) for one in ids]
    if not any(parts):
        return None
    prefixes = {id_prefix(facts.topic_id): name for name, facts in topics.items()}
    offsets: dict[Partition, list[int]] = {}
    clamps: list[Clamp] = []
    for number, (text, part) in enumerate(zip(ids, parts, strict=True)):
        if part is None:
            raise DeclarationInvalid(f"/ids/{number}", text, "a webhook id as the others, or event ids only")
        place = (prefixes.get(part.prefix, ""), part.partition)
        if place not in held:
            raise DeclarationInvalid(f"/ids/{number}", text, f"the id of an event of {', '.join(sorted(topics))} now")
        start, end = held[place]
        if start <= part.offset < end:
            offsets.setdefault(place, []).append(part.offset)
        else:
            clamps.append(Clamp(place, part.offset, min(max(part.offset, start), end)))
    return {place: spans_of(found) for place, found in offsets.items()}, clamps


def told(clamps: Iterable[Clamp], shown_max: int = 5) -> str:
    listed = [str(one) for one in clamps]
    return "; ".join(listed[:shown_max]) + (f"; and {len(listed) - shown_max} more" if len(listed) > shown_max else "")


def _example(topics: Mapping[str, TopicFacts]) -> str:
    return f"{next(iter(sorted(topics)))}/0"
