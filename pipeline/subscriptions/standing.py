"""Where a subscription's consumer group stands, and its start: resolved and committed once for every partition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from pipeline.delivery.pointer import Pointer, read_pointer
from pipeline.errors import DeclarationInvalid, PipelineError
from pipeline.faces import At, CommittedOffset, Log, Partition, Pointers, TopicAdmin, TopicFacts
from pipeline.moment import ms_from_rfc3339
from pipeline.subscriptions.faults import DeclarationsInvalid

# Records looked at side by side for their times, and how long all of them may take: what is not known then is null.
FETCHES_MAX = 16
FETCH_S_MAX = 2.0
# Below every worker's: whoever claims a start goes on from there, and no worker ever takes it for a newer owner's.
START_EPOCH = 0


class PartitionLag(msgspec.Struct, frozen=True, kw_only=True):
    """``committed`` is the next offset (None: there is no pointer), ``start`` and ``end`` the log's.

    ``lag`` counts the offsets to the end; ``headroom`` those to the log start: at 0 retention takes undelivered events.
    ``lag_s`` is the age of the record at ``committed``, 0.0 at the end, None while that is not known. ``owner`` is the
    worker that committed last, None where a tool did or nobody has yet.
    """

    topic: str
    partition: int
    committed: int | None
    start: int
    end: int
    lag: int | None
    headroom: int | None
    lag_s: float | None = None
    owner: str | None = None


async def found_topics(admin: TopicAdmin, names: Sequence[str]) -> Mapping[str, TopicFacts]:
    """The topics; raises `DeclarationsInvalid` naming the place of each that does not exist."""
    found = await admin.describe(list(names))
    absent = [
        DeclarationInvalid(f"/topics/{number}", name, "a topic that exists; `pipeline topics list` shows them")
        for number, name in enumerate(names)
        if name not in found
    ]
    if absent:
        raise DeclarationsInvalid(absent)
    return found


def places_of(topics: Mapping[str, TopicFacts]) -> list[Partition]:
    return [(name, number) for name, facts in topics.items() for number in range(facts.partitions)]


async def commit_start(
    group: str, topics: Mapping[str, TopicFacts], start: str, *, admin: TopicAdmin, offsets: Pointers
) -> int:
    """Commit where ``start`` is for every partition that has no committed offset; how many those were.

    Offsets that are there are kept: making a subscription again resumes it. Each start says how many partitions have
    one: were the highest lost before a worker claimed any, they would pass for partitions added later.

    Two processes may do this at once, and nothing on the broker keeps the later from writing over the earlier. So what
    is written was resolved before it was seen that nobody had: it lies at or before what the other wrote, and an event
    appended since is not passed over.
    """
    fresh = await _lacking(group, places_of(topics), offsets)
    if not fresh:
        return 0
    at: At = "earliest" if start == "earliest" else "latest" if start == "latest" else _at_ms(start)
    resolved = await admin.offsets(fresh, at)
    if fresh := await _lacking(group, fresh, offsets):
        starts = {place: _start(resolved[place], topics[place[0]].partitions) for place in fresh}
        await offsets.commit(group, {place: (start.offset, start.metadata()) for place, start in starts.items()})
    return len(fresh)


async def _lacking(group: str, places: list[Partition], offsets: Pointers) -> list[Partition]:
    held = await offsets.read(group, places)
    return [place for place in places if place not in held]


def _start(offset: int, partitions: int) -> Pointer:
    return Pointer(epoch=START_EPOCH, owner="start", offset=offset, partitions=partitions)


class Standing:
    """Says where groups stand. ``now_ms`` is the wall clock; without ``log`` no times are told."""

    def __init__(
        self,
        admin: TopicAdmin,
        offsets: Pointers,
        log: Log | None = None,
        *,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._admin, self._offsets, self._log, self._now_ms = admin, offsets, log, now_ms

    async def of(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, list[PartitionLag]]:
        """By group, of each partition of its topics; topics that are gone are left out.

        The ends of a topic that many groups read are asked for once.
        """
        topics = await self._admin.describe(sorted({name for names in wanted.values() for name in names}))
        places = places_of(topics)
        starts, ends = await self._admin.offsets(places, "earliest"), await self._admin.offsets(places, "latest")
        found: dict[str, list[PartitionLag]] = {}
        for group, names in wanted.items():
            own = [place for place in places if place[0] in names]
            held = await self._offsets.read(group, own)
            found[group] = [_lag(place, held.get(place), starts[place], ends[place]) for place in own]
        times = await self.times([(*_place(one), one.committed) for lags in found.values() for one in lags if one.lag])
        return {group: [self._aged(one, times) for one in lags] for group, lags in found.items()}

    async def times(self, at: Sequence[tuple[str, int, int | None]]) -> dict[tuple[str, int, int], int]:
        """Unix milliseconds of the records at these topics, partitions and offsets, as far as they were found soon."""
        wanted = {(topic, partition, offset) for topic, partition, offset in at if offset is not None}
        if self._log is None or not wanted:
            return {}
        log, turns = self._log, asyncio.Semaphore(FETCHES_MAX)
        times: dict[tuple[str, int, int], int] = {}

        async def look(topic: str, partition: int, offset: int) -> None:
            async with turns:
                record = await log.fetch(topic, partition, offset)
            if record is not None:
                times[topic, partition, offset] = record.timestamp_ms

        looking = [asyncio.create_task(look(*one)) for one in wanted]
        _, late = await asyncio.wait(looking, timeout=FETCH_S_MAX)
        for task in late:
            task.cancel()
        for outcome in await asyncio.gather(*looking, return_exceptions=True):
            # What could not be read has no time; anything else is a fault of ours.
            if isinstance(outcome, Exception) and not isinstance(outcome, PipelineError):
                raise outcome
        return times

    def _aged(self, one: PartitionLag, times: Mapping[tuple[str, int, int], int]) -> PartitionLag:
        if one.lag is None or one.committed is None:
            return one
        if one.lag == 0:
            return msgspec.structs.replace(one, lag_s=0.0)
        at = times.get((*_place(one), one.committed))
        return one if at is None else msgspec.structs.replace(one, lag_s=max(0.0, (self._now_ms() - at) / 1000))


def _place(one: PartitionLag) -> Partition:
    return one.topic, one.partition


def _lag(place: Partition, held: CommittedOffset | None, start: int, end: int) -> PartitionLag:
    committed = None if held is None else held.offset
    pointer = None if held is None else read_pointer(held.offset, held.metadata)
    return PartitionLag(
        topic=place[0],
        partition=place[1],
        committed=committed,
        start=start,
        end=end,
        lag=None if committed is None else max(0, end - committed),
        headroom=None if committed is None else committed - start,
        owner=None if pointer is None or pointer.epoch == START_EPOCH else pointer.owner,
    )


def _at_ms(start: str) -> int:
    return max(0, ms_from_rfc3339(start, field="/start"))
