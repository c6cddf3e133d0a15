"""Attempts searched: the attempts topic read backwards from its end, newest first, a bounded way per call.

There is no index: what was tried lately lies at the end, and that is what people ask for. A call that has looked at
`SCAN_RECORDS_MAX` records or `SCAN_BYTES_MAX` bytes gives what it found and a token to go on from.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from pipeline.errors import BrokerUnavailable, InputError, TopicNotFound
from pipeline.faces import Log, TopicAdmin
from pipeline.moment import ms_from_rfc3339
from pipeline.push.attempt import Attempt, read_attempts
from pipeline.record import Record

LIMIT_MAX = 1000
# A record holds up to 200 attempts.
SCAN_RECORDS_MAX = 4_000
SCAN_BYTES_MAX = 32 * 1024 * 1024
CHUNK_RECORDS_MIN, CHUNK_RECORDS_MAX = 16, 256
# Two hundred lines take 0.1 ms to read.
RECORDS_A_TURN = 8
WAIT_S = 10.0
_TOKEN = re.compile(r"a1\.([0-9]{1,18})\.([0-9]{1,9})\Z")
_STATUS = re.compile(r"[0-9]{1,3}\Z|[1-5]xx\Z|delivered\Z|failed\Z")


class AttemptPage(msgspec.Struct, frozen=True):
    """Attempts, newest first. ``next`` is the token of those before; None: there are none."""

    attempts: list[Attempt]
    next: str | None


class _Before(NamedTuple):
    """Everything before line ``line`` of the record at ``offset``."""

    offset: int
    line: int

    def token(self) -> str:
        return f"a1.{self.offset}.{self.line}"


class Attempts:
    """What was tried, over the attempts ``topic`` (one partition)."""

    def __init__(self, log: Log, admin: TopicAdmin, topic: str) -> None:
        self._log, self._admin, self._topic = log, admin, topic

    async def search(
        self,
        subscription: str,
        *,
        status: str | None = None,
        event: str | None = None,
        since: str | None = None,
        limit: int = 100,
        from_: str | None = None,
    ) -> AttemptPage:
        """Attempts of ``subscription``, newest first; fewer than ``limit`` with a ``next`` where much was looked
        through.

        ``status``: ``503``, ``0`` (no status line came), ``5xx``, ``delivered`` or ``failed``. ``event``: a webhook id
        or a CloudEvents id. ``since``: RFC 3339. ``from_``: the ``next`` of an earlier page. Raises `InputError`,
        `BrokerUnavailable`.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise InputError("/limit", limit, f"1 to {LIMIT_MAX}")
        since_ms = 0 if since is None else ms_from_rfc3339(since, field="/since")
        before, wanted = _opened(from_), _wanted(status, event, since_ms)
        try:
            first, end = await self._bounds(since_ms)
        except TopicNotFound:
            return AttemptPage([], None)
        if before is None or before.offset >= end:
            before = _Before(end, 0)
        return await self._page(subscription, wanted, first, before, limit)

    async def _page(
        self, subscription: str, wanted: Callable[[Attempt], bool], first: int, before: _Before, limit: int
    ) -> AttemptPage:
        found: list[Attempt] = []
        key, records, size_bytes, chunk = subscription.encode(), 0, 0, CHUNK_RECORDS_MIN
        while _is_left(before, first):
            until = before.offset + (1 if before.line else 0)
            low = max(first, until - min(chunk, SCAN_RECORDS_MAX - records))
            read = await self._read(low, until)
            for number_read, record in enumerate(reversed(read)):
                if number_read % RECORDS_A_TURN == 0:
                    await asyncio.sleep(0)  # the loop delivers, too
                lines = list(read_attempts(record.value)) if record.key == key else []
                if record.offset == before.offset:
                    lines = lines[: before.line]
                for number, line in reversed(list(enumerate(lines))):
                    if wanted(line):
                        found.append(line)
                        if len(found) >= limit:
                            return _page_of(found, _Before(record.offset, number), first)
            before = _Before(low, 0)
            records, size_bytes = records + (until - low), size_bytes + sum(record.size_bytes for record in read)
            if records >= SCAN_RECORDS_MAX or size_bytes >= SCAN_BYTES_MAX:
                break
            chunk = min(chunk * 2, CHUNK_RECORDS_MAX)
        return _page_of(found, before, first)

    async def _bounds(self, since_ms: int) -> tuple[int, int]:
        """Where to stop and where to begin; a record is never older than its lines, so its time bounds theirs."""
        place = (self._topic, 0)
        first = (await self._admin.offsets([place], "earliest"))[place]
        end = (await self._admin.offsets([place], "latest"))[place]
        if since_ms:
            first = max(first, (await self._admin.offsets([place], since_ms))[place])
        return first, end

    async def _read(self, first: int, until: int) -> list[Record]:
        """The records of ``[first, until)`` that are there."""
        ready = asyncio.Event()
        feed = self._log.feed(self._topic, 0, first, ready.set)
        records: list[Record] = []
        try:
            async with asyncio.timeout(WAIT_S):
                while feed.position < until:
                    taken = feed.take(until - first)
                    if taken is None:
                        await ready.wait()
                        ready.clear()
                    else:
                        records.extend(record for record in taken.records if record.offset < until)
        except TimeoutError:
            raise BrokerUnavailable(f"{self._topic} was not read in {WAIT_S:g} s") from None
        finally:
            feed.close()
        return records


def _is_left(before: _Before, first: int) -> bool:
    return before.offset > first or (before.offset == first and before.line > 0)


def _page_of(found: list[Attempt], before: _Before, first: int) -> AttemptPage:
    return AttemptPage(found, before.token() if _is_left(before, first) else None)


def _opened(token: str | None) -> _Before | None:
    if token is None:
        return None
    match = _TOKEN.match(token)
    if match is None:
        raise InputError("/from", token, "the `next` of an earlier page")
    return _Before(int(match[1]), int(match[2]))


def _wanted(status: str | None, event: str | None, since_ms: int) -> Callable[[Attempt], bool]:
    if status is not None and not _STATUS.match(status):
        raise InputError("/status", status, "a status such as 503, a class such as 5xx, delivered or failed")
    statuses = frozenset(_statuses(status)) if status is not None else None

    def wanted(line: Attempt) -> bool:
        return (
            line.at >= since_ms
            and (statuses is None or line.status in statuses)
            and (event is None or event in (line.id, line.event))
        )

    return wanted


def _statuses(status: str) -> Iterator[int]:
    if status == "delivered":
        return iter(range(200, 300))
    if status == "failed":
        return iter([*range(200), *range(300, 1000)])
    if status.endswith("xx"):
        return iter(range(int(status[0]) * 100, int(status[0]) * 100 + 100))
    return iter([int(status)])
