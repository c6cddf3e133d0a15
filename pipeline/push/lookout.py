"""The lookout: now and then it looks how far the live runs of this worker are behind, and how near retention is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from pipeline.errors import NotFound
from pipeline.faces import Log, Partition, Tells, TopicAdmin
from pipeline.hooks import Hooks, PlaceState, RunState
from pipeline.push.clock import Clock
from pipeline.push.headroom import Retention, Span, headroom_ratio, is_low, retention_of

# Records read for their age in one round; the others keep the age they were last known to begin at.
FETCHES_MAX = 64
# Retention settings are asked for again this often.
RETENTION_S = 600.0


class Watched(Protocol):
    """A run with its pointers, as it stands."""

    def state(self) -> RunState: ...
    def pointers(self) -> Mapping[Partition, int]:
        """Committed offsets of a live run by partition; of a bounded one none."""


class Parts(NamedTuple):
    """What it looks with, and whom it tells."""

    log: Log
    admin: TopicAdmin
    hooks: Hooks
    happenings: Tells
    clock: Clock


class Lookout:
    """``watched`` gives the runs by group. `run_states` and `place_states` are for metrics."""

    def __init__(self, parts: Parts, watched: Callable[[], Mapping[str, Watched]]) -> None:
        self._parts, self._watched = parts, watched
        self._states: list[PlaceState] = []
        # (group, place) -> the committed offset whose record's time (ms) is known.
        self._times: dict[tuple[str, Partition], tuple[int, int]] = {}
        self._retention: dict[str, tuple[float, Retention]] = {}
        self._low: set[tuple[str, Partition]] = set()

    def run_states(self) -> list[RunState]:
        return [one.state() for one in self._watched().values()]

    def place_states(self) -> list[PlaceState]:
        """As of the last look, pointers as of now."""
        return self._states

    async def look(self) -> None:
        """One round. Raises LogError; what was known stays then."""
        pointers = {
            (group, place): offset for group, one in self._watched().items() for place, offset in one.pointers().items()
        }
        places = sorted({place for _, place in pointers})
        try:
            starts = await self._parts.admin.offsets(places, "earliest")
            ends = await self._parts.admin.offsets(places, "latest")
        except NotFound:
            return  # a topic went: its runs are about to be stopped, and the next round does without
        await self._learn_times({key: offset for key, offset in pointers.items() if offset < ends[key[1]]})
        retention = {topic: await self._retention_of(topic) for topic in {topic for topic, _ in places}}
        now_ms = self._parts.clock.wall() * 1000
        states = []
        for (group, place), offset in pointers.items():
            span = Span(starts[place], offset, ends[place], self._lag_s(group, place, offset, ends[place], now_ms))
            ratio = headroom_ratio(span, retention[place[0]])
            states.append(_state(group, place, span, ratio))
            self._judge(group, place, span, ratio)
        self._states = states
        self._low &= pointers.keys()

    async def _learn_times(self, behind: Mapping[tuple[str, Partition], int]) -> None:
        """When the first undelivered records were appended, those not known longest first."""
        self._times = {key: known for key, known in self._times.items() if key in behind}
        unknown = [key for key, offset in behind.items() if self._times.get(key, (-1, 0))[0] != offset]
        unknown.sort(key=lambda key: self._times.get(key, (-1, 0))[0])
        for group, (topic, partition) in unknown[:FETCHES_MAX]:
            offset = behind[group, (topic, partition)]
            record = await self._parts.log.fetch(topic, partition, offset)
            if record is not None:
                self._times[group, (topic, partition)] = (offset, record.timestamp_ms)

    def _lag_s(self, group: str, place: Partition, offset: int, end: int, now_ms: float) -> float:
        """Never negative: clocks differ, and records say of their time what they like."""
        known = self._times.get((group, place))
        return 0.0 if known is None or offset >= end else max(0.0, (now_ms - known[1]) / 1000)

    async def _retention_of(self, topic: str) -> Retention:
        now = self._parts.clock.monotonic()
        known = self._retention.get(topic)
        if known is None or now - known[0] >= RETENTION_S:
            known = self._retention[topic] = (now, retention_of(await self._parts.admin.topic_config(topic)))
        return known[1]

    def _judge(self, group: str, place: Partition, span: Span, ratio: float) -> None:
        """Warn once as it gets low; an operator hears of it again only after it had recovered."""
        key = (group, place)
        if not is_low(ratio, was_low=key in self._low):
            self._low.discard(key)
        elif key not in self._low:
            self._low.add(key)
            self._parts.hooks.on_headroom_low(group, *place, ratio)
            facts = {"topic": place[0], "partition": place[1], "ratio": round(ratio, 3)}
            facts |= {"lag": span.end - span.committed, "lag_s": round(span.lag_s, 1)}
            self._parts.happenings.tell("headroom-low", group.partition(".")[2], **facts)


def _state(group: str, place: Partition, span: Span, ratio: float) -> PlaceState:
    return PlaceState(
        run=group,
        topic=place[0],
        partition=place[1],
        offset=span.committed,
        lag=max(0, span.end - span.committed),
        lag_s=span.lag_s,
        headroom=max(0, span.committed - span.start),
        headroom_ratio=ratio,
    )
