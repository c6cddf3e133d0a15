"""Where a subscription's consumer group stands, and its start: resolved and committed once for every partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.faces import At, Partition, Pointers, TopicAdmin, TopicFacts
from pipeline.moment import ms_from_rfc3339


class PartitionLag(msgspec.Struct, frozen=True, kw_only=True):
    """``committed`` is the next offset (None: there is no pointer), ``start`` and ``end`` the log's.

    ``lag`` counts the offsets to the end; ``headroom`` those to the log start: at 0 retention takes undelivered events.
    """

    topic: str
    partition: int
    committed: int | None
    start: int
    end: int
    lag: int | None
    headroom: int | None


async def found_topics(admin: TopicAdmin, names: Sequence[str]) -> Mapping[str, TopicFacts]:
    """The topics; raises `DeclarationInvalid` naming the place of one that does not exist."""
    found = await admin.describe(list(names))
    for number, name in enumerate(names):
        if name not in found:
            raise DeclarationInvalid(f"/topics/{number}", name, "a topic that exists")
    return found


def places_of(topics: Mapping[str, TopicFacts]) -> list[Partition]:
    return [(name, number) for name, facts in topics.items() for number in range(facts.partitions)]


async def commit_start(
    group: str, topics: Mapping[str, TopicFacts], start: str, *, admin: TopicAdmin, offsets: Pointers
) -> int:
    """Commit where ``start`` is for every partition that has no committed offset; how many those were.

    Offsets that are there are kept: making a subscription again resumes it.
    """
    places = places_of(topics)
    held = await offsets.read(group, places)
    fresh = [place for place in places if place not in held]
    if fresh:
        at: At = "earliest" if start == "earliest" else "latest" if start == "latest" else _at_ms(start)
        resolved = await admin.offsets(fresh, at)
        await offsets.commit(group, {place: (resolved[place], None) for place in fresh})
    return len(fresh)


async def lags(
    group: str, topics: Mapping[str, TopicFacts], *, admin: TopicAdmin, offsets: Pointers
) -> list[PartitionLag]:
    places = places_of(topics)
    held = await offsets.read(group, places)
    starts, ends = await admin.offsets(places, "earliest"), await admin.offsets(places, "latest")
    return [_lag(place, held[place].offset if place in held else None, starts[place], ends[place]) for place in places]


def _lag(place: Partition, committed: int | None, start: int, end: int) -> PartitionLag:
    return PartitionLag(
        topic=place[0],
        partition=place[1],
        committed=committed,
        start=start,
        end=end,
        lag=None if committed is None else max(0, end - committed),
        headroom=None if committed is None else committed - start,
    )


def _at_ms(start: str) -> int:
    return max(0, ms_from_rfc3339(start, field="/start"))
