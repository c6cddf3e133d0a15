"""Dead letters of a subscription, read from its dead-letter topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from pipeline.deadletter import DeadLetter, unwrap
from pipeline.errors import FormatUnreadable
from pipeline.faces import TopicFacts
from pipeline.moment import ms_from_rfc3339
from pipeline.names import dead_letter_topic_of, group_of
from pipeline.record import Position, Record
from pipeline.redrive.selection import redriven_by
from pipeline.runs import Runs
from pipeline.subscription import StoredRun

PAGE_RECORDS = 500


class PageOfRecords(Protocol):
    @property
    def topic(self) -> TopicFacts: ...
    @property
    def records(self) -> Sequence[Record]: ...
    @property
    def next_offsets(self) -> Mapping[int, int]: ...
    @property
    def next_cursor(self) -> str: ...
    @property
    def caught_up(self) -> bool: ...


class RecordSource(Protocol):
    """Pages of records as they lie on a topic; `pipeline.pull.Reader` is one."""

    async def records(self, topic: str, start: str | None, limit: int, /) -> PageOfRecords: ...


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; None is anything. ``since`` is RFC 3339 and compared with the last failure.

    ``scanned_max``: dead letters looked at before the search answers with what it has and a cursor to go on from.
    """

    reason: str | None = None
    status: int | None = None
    key: str | None = None
    since: str | None = None
    limit: int = 100
    scanned_max: int = 10_000


class FiledLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter, where it lies, and the redrive that took it (None: none did)."""

    place: Position
    letter: DeadLetter
    redriven_by: str | None


class DeadLetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """``unreadable`` counts records on the topic that are no dead letters of this subscription."""

    letters: list[FiledLetter]
    next_cursor: str
    caught_up: bool
    unreadable: int


class DeadLetters:
    def __init__(self, source: RecordSource, runs: Runs, *, namespace: str) -> None:
        self._source, self._runs, self._namespace = source, runs, namespace

    def topic_of(self, subscription: str) -> str:
        return dead_letter_topic_of(group_of(self._namespace, subscription))

    def read(self, record: Record, subscription: str) -> DeadLetter | None:
        """The dead letter in ``record``; None when it is none, or claims to be another subscription's (threat S31)."""
        try:
            letter = unwrap(record)
        except FormatUnreadable:
            return None
        return letter if letter.group == group_of(self._namespace, subscription) else None

    async def search(self, subscription: str, wanted: Search, start: str | None) -> DeadLetterPage:
        """Those found from ``start`` on, the oldest first within a partition, and where to go on."""
        since_ms = ms_from_rfc3339(wanted.since, field="since") if wanted.since else 0
        runs = self._redrives(subscription)
        found: list[FiledLetter] = []
        cursor, caught_up, scanned, unreadable = start, False, 0, 0
        while not caught_up and len(found) < wanted.limit and scanned < wanted.scanned_max:
            # Never more than are still wanted, so that the page's cursor is the answer's.
            page = await self._source.records(self.topic_of(subscription), cursor, wanted.limit - len(found))
            for record in page.records:
                letter = self.read(record, subscription)
                if letter is None:
                    unreadable += 1
                elif _is_wanted(letter, wanted, since_ms):
                    found.append(_filed(record, letter, runs))
            scanned += max(1, len(page.records))
            cursor, caught_up = page.next_cursor, page.caught_up
        return DeadLetterPage(letters=found, next_cursor=cursor or "", caught_up=caught_up, unreadable=unreadable)

    async def all(self, subscription: str, scanned_max: int) -> AsyncIterator[FiledLetter]:
        """Every dead letter that lies there now, at most ``scanned_max`` records looked at."""
        runs = self._redrives(subscription)
        cursor: str | None = "earliest"
        while scanned_max > 0:
            page = await self._source.records(self.topic_of(subscription), cursor, min(PAGE_RECORDS, scanned_max))
            for record in page.records:
                letter = self.read(record, subscription)
                if letter is not None:
                    yield _filed(record, letter, runs)
            scanned_max -= max(1, len(page.records))
            cursor = page.next_cursor
            if page.caught_up:
                return

    def _redrives(self, subscription: str) -> list[StoredRun]:
        return [one.run for one in self._runs.of(subscription, "redrive")]


def _filed(record: Record, letter: DeadLetter, runs: Sequence[StoredRun]) -> FiledLetter:
    return FiledLetter(place=record.position, letter=letter, redriven_by=redriven_by(record.position, letter, runs))


def _is_wanted(letter: DeadLetter, wanted: Search, since_ms: int) -> bool:
    return (
        wanted.reason in (None, letter.reason)
        and wanted.status in (None, letter.http_status)
        and (wanted.key is None or letter.record.key == wanted.key.encode())
        and (not since_ms or ms_from_rfc3339(letter.last_failed_at, field="dlq.last_failed_at") >= since_ms)
    )
