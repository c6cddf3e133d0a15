"""Which endpoints are found down just now, whatever process their worker runs in: read off the operational events.

A worker tells when its breaker opens and when it closes. What a worker told that has gone since says nothing any more;
so whoever asks compares with the workers that own partitions now.
"""

from __future__ import annotations

import asyncio

import orjson

from pipeline.errors import TopicNotFound
from pipeline.faces import Log, TopicAdmin
from pipeline.record import Record

# Events looked back over when the first one asks, and how long one look may take: what is not read then is read next.
LOOKED_BACK_MAX = 5_000
LOOK_S_MAX = 1.0
TAKEN_MAX = 500
_OVER = ("paused", "gone", "blocked", "deleted")
_PREFIX = b"pipeline.subscription."


class Probing:
    """Over the events ``topic`` (one partition)."""

    def __init__(self, log: Log, admin: TopicAdmin, topic: str) -> None:
        self._log, self._admin, self._topic = log, admin, topic
        self._position: int | None = None
        self._workers: dict[str, set[str]] = {}
        self._turn = asyncio.Lock()

    async def workers(self) -> dict[str, frozenset[str]]:
        """By subscription, the workers that said last that its endpoint is down."""
        async with self._turn:
            try:
                await self._catch_up()
            except TopicNotFound:
                return {}
        return {name: frozenset(workers) for name, workers in self._workers.items()}

    async def _catch_up(self) -> None:
        place = (self._topic, 0)
        end = (await self._admin.offsets([place], "latest"))[place]
        if self._position is None:
            first = (await self._admin.offsets([place], "earliest"))[place]
            self._position = max(first, end - LOOKED_BACK_MAX)
        if self._position >= end:
            return
        ready = asyncio.Event()
        feed = self._log.feed(self._topic, 0, self._position, ready.set)
        try:
            async with asyncio.timeout(LOOK_S_MAX):
                while feed.position < end:
                    taken = feed.take(TAKEN_MAX)
                    if taken is None:
                        await ready.wait()
                        ready.clear()
                        continue
                    for record in taken.records:
                        self._note(record)
                    self._position = taken.next_offset
        except TimeoutError:
            return  # told as far as it is known; the next look goes on from here
        finally:
            feed.close()

    def _note(self, record: Record) -> None:
        kind, subject = record.header("ce_type") or b"", record.header("ce_subject")
        what = kind.removeprefix(_PREFIX).decode("utf-8", "replace")
        if subject is None or not kind.startswith(_PREFIX):
            return
        name = subject.decode("utf-8", "replace")
        if what in _OVER:
            self._workers.pop(name, None)
        elif what == "probing":
            self._workers.setdefault(name, set()).add(_worker(record))
        elif what == "recovered" and name in self._workers:
            self._workers[name].discard(_worker(record))


def _worker(record: Record) -> str:
    try:
        facts = orjson.loads(record.value or b"{}")
    except orjson.JSONDecodeError:
        return ""
    return str(facts.get("worker", "")) if isinstance(facts, dict) else ""
