"""Reader: a cursor in, events and the next cursor out.

The next cursor always covers every partition of the topic; a partition that a token does not name was added later and
is read from its start. No order between partitions is promised, within one it is the log's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from pipeline.cursor import Cursor, CursorToken
from pipeline.errors import CursorEpochChanged, CursorMalformed, InputError, PositionBeyondEnd, TopicNotFound
from pipeline.faces import At, Catalogue, Log, TopicAdmin, TopicFacts
from pipeline.pull.origin import parse_origin
from pipeline.pull.sweep import CursorOutside, PartitionGap, Sweep, told
from pipeline.record import Record

Render = Callable[[TopicFacts, Sequence[Record]], Awaitable[list[bytes]]]
"""Records of one topic as structured CloudEvents JSON, one text each."""


class ReaderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one read.

    ``settle_s``: how long a reader that is behind the log end waits for the log view before it answers with nothing.
    ``linger_s``: how long a page that has something waits for the partitions that are about to have something.
    """

    limit_max: int = 1000
    wait_s_max: float = 60.0
    settle_s: float = 5.0
    linger_s: float = 0.005
    page_bytes_max: int = 8 * 2**20


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One read: at most ``limit`` events, waiting up to ``wait_s`` for the first; ``strict`` turns a gap into an
    error.
    """

    limit: int = 100
    wait_s: float = 0.0
    strict: bool = False


class RecordPage(msgspec.Struct, frozen=True, kw_only=True):
    """``next_offsets`` is where the next page starts; ``lag`` counts the offsets from there to the log end."""

    topic: TopicFacts
    records: list[Record]
    next_offsets: dict[int, int]
    lag: int
    gaps: tuple[PartitionGap, ...] = ()

    @property
    def next_cursor(self) -> str:
        return Cursor(self.topic.topic_id, self.next_offsets).token()

    @property
    def caught_up(self) -> bool:
        return self.lag == 0


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """``events`` are rendered: one structured CloudEvent each, as JSON."""

    events: list[bytes]
    next_cursor: str
    caught_up: bool
    lag: int
    gaps: tuple[PartitionGap, ...] = ()


class Reader:
    """Reads topics for many callers at once; it holds no consumer and no state between reads."""

    def __init__(
        self, log: Log, catalogue: Catalogue, admin: TopicAdmin, render: Render, settings: ReaderSettings | None = None
    ) -> None:
        self._log, self._catalogue, self._admin, self._render = log, catalogue, admin, render
        self.settings = settings or ReaderSettings()

    async def read(self, topic: str, start: str | None, wanted: Wanted) -> Page:
        """The page at ``start`` (see `pipeline.pull.origin`).

        Raises `TopicNotFound`, `CursorMalformed`, `CursorEpochChanged` (the topic was made anew), `CursorOutside` (only
        when ``wanted.strict``, or when the cursor lies beyond the log end).
        """
        page = await self.read_records(topic, start, wanted)
        return Page(
            events=await self._render(page.topic, page.records),
            next_cursor=page.next_cursor,
            caught_up=page.caught_up,
            lag=page.lag,
            gaps=page.gaps,
        )

    async def read_records(self, topic: str, start: str | None, wanted: Wanted) -> RecordPage:
        """As `read`, with the records as they lie on the log."""
        if not 1 <= wanted.limit <= self.settings.limit_max:
            raise InputError("limit", wanted.limit, f"1 to {self.settings.limit_max}")
        facts, next_offsets = await self.resolve(topic, start)
        if wanted.strict:
            await self._check_held(facts, next_offsets)
        return await self._page(facts, next_offsets, wanted)

    async def records(self, topic: str, start: str | None, limit: int) -> RecordPage:
        """A page of records without waiting for any."""
        return await self.read_records(topic, start, Wanted(limit=limit))

    async def topic(self, name: str) -> TopicFacts:
        """What is known of the topic, which may be half a minute old. Raises `TopicNotFound`."""
        return await self._catalogue.get(name)

    async def resolve(self, topic: str, start: str | None) -> tuple[TopicFacts, dict[int, int]]:
        """The next offset of every partition that ``start`` stands for, and the topic they belong to."""
        origin = parse_origin(start)
        facts = await self._catalogue.get(topic)
        if isinstance(origin, CursorToken):
            return await self._continue(facts, origin)
        return facts, await self._offsets(facts, range(facts.partitions), origin)

    async def token(self, facts: TopicFacts, at: At) -> str:
        """The cursor at a moment of the log."""
        return Cursor(facts.topic_id, await self._offsets(facts, range(facts.partitions), at)).token()

    async def _continue(self, facts: TopicFacts, token: CursorToken) -> tuple[TopicFacts, dict[int, int]]:
        if not (token.fits(facts.topic_id) and _covered(facts, token)):
            # What is known of the topic may be half a minute old: ask before telling a reader that its cursor is void.
            current = (await self._admin.describe([facts.name])).get(facts.name)
            if current is None:
                raise TopicNotFound(facts.name)
            facts = current
        if not token.fits(facts.topic_id):
            raise CursorEpochChanged(
                f"topic {facts.name} was deleted and created again since this cursor was made; start at earliest"
            )
        offsets = dict(token.next_offsets)
        if not _covered(facts, token):
            raise CursorMalformed("from", max(offsets), f"partitions below {facts.partitions}")
        if missing := [number for number in range(facts.partitions) if number not in offsets]:
            offsets |= await self._offsets(facts, missing, "earliest")
        return facts, offsets

    async def _offsets(self, facts: TopicFacts, partitions: Sequence[int], at: At) -> dict[int, int]:
        found = await self._admin.offsets([(facts.name, number) for number in partitions], at)
        return {number: offset for (_, number), offset in found.items()}

    async def _check_held(self, facts: TopicFacts, next_offsets: Mapping[int, int]) -> None:
        """Asked of the log itself, since a page may be full before the feed of a partition has met its gap."""
        starts = await self._offsets(facts, list(next_offsets), "earliest")
        gone = [
            PartitionGap(number, next_offsets[number], first)
            for number, first in sorted(starts.items())
            if first > next_offsets[number]
        ]
        if gone:
            raise CursorOutside(f"topic {facts.name} no longer holds {told(gone)}", await self.token(facts, "earliest"))

    async def _page(self, facts: TopicFacts, next_offsets: Mapping[int, int], wanted: Wanted) -> RecordPage:
        ready = asyncio.Event()
        sweep = Sweep(self._log, facts.name, next_offsets, ready.set, bytes_max=self.settings.page_bytes_max)
        try:
            records = await self._first(facts, sweep, ready, wanted)
            if records and len(records) < wanted.limit:
                records += await self._more(sweep, ready, wanted.limit - len(records))
            if wanted.strict and sweep.gaps:
                detail = f"topic {facts.name} no longer holds {told(sweep.gaps)}"
                raise CursorOutside(detail, await self.token(facts, "earliest"))
            lag = sweep.behind(await self._ends(facts, sweep))
        except PositionBeyondEnd as error:
            raise CursorOutside(str(error), await self.token(facts, "earliest")) from None
        finally:
            sweep.close()
        return RecordPage(
            topic=facts, records=records, next_offsets=sweep.next_offsets, lag=lag, gaps=tuple(sweep.gaps)
        )

    async def _first(self, facts: TopicFacts, sweep: Sweep, ready: asyncio.Event, wanted: Wanted) -> list[Record]:
        """What there is as soon as there is something; nothing only when that is true or patience has run out."""
        clock = asyncio.get_running_loop().time
        began = clock()
        patience_s = min(wanted.wait_s, self.settings.wait_s_max)
        while True:
            ready.clear()
            records = sweep.gather(wanted.limit)
            if records or (sweep.gaps and wanted.strict):
                return records
            # Behind the end with empty hands means that the log view is still fetching: "nothing" would be a lie.
            behind = sweep.behind(await self._ends(facts, sweep))
            until_s = began + (max(patience_s, self.settings.settle_s) if behind else patience_s)
            if (left_s := until_s - clock()) <= 0:
                return records
            await _wait(ready, left_s)

    async def _more(self, sweep: Sweep, ready: asyncio.Event, records_max: int) -> list[Record]:
        """What other partitions have by now: a page that has something waits a moment for those known to be behind."""
        if not ready.is_set() and sweep.room_bytes > 0 and sweep.behind(sweep.ends()):
            await _wait(ready, self.settings.linger_s)
        return sweep.gather(records_max) if ready.is_set() else []

    async def _ends(self, facts: TopicFacts, sweep: Sweep) -> dict[int, int]:
        ends = sweep.ends()
        if unknown := [number for number in sweep.next_offsets if number not in ends]:
            ends |= await self._offsets(facts, unknown, "latest")
        return ends


def _covered(facts: TopicFacts, token: CursorToken) -> bool:
    return all(number < facts.partitions for number in token.next_offsets)


async def _wait(ready: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await ready.wait()
