"""Dead letters of a subscription, read from its dead-letter topic, and what lies there that is none."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from pipeline.deadletter import DeadLetter
from pipeline.errors import Conflict, NotFound, TopicNotFound
from pipeline.faces import Catalogue
from pipeline.filters import check_no_avro, compile_filters
from pipeline.names import dead_letter_topic_of, group_of
from pipeline.record import Record
from pipeline.redrive.fates import Fates, FiledLetter, State
from pipeline.redrive.judging import Foreign, Judge
from pipeline.redrive.paging import Paging, RecordSource
from pipeline.redrive.selection import Chooser, FactsOf, Selection, webhook_id_of
from pipeline.runs import Runs
from pipeline.webhookid import id_prefix

PAGE_RECORDS = 500
FOREIGN_MAX = 100
"""Records that are no dead letters of the subscription shown with one page; more are only counted."""


class RereadsLog(Protocol):
    async def fetch(self, topic: str, partition: int, offset: int, /) -> Record | None: ...


class LetterNotFound(NotFound):
    noun = "dead letter"


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for, and in which of ``states`` (empty: any).

    ``scanned_max``: dead letters looked at before the search answers with what it has and a cursor to go on from.
    """

    select: Selection = Selection()
    states: frozenset[State] = frozenset()
    limit: int = 100
    scanned_max: int = 10_000


class DeadLetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """``unreadable`` counts records on the topic that are no dead letters of this subscription; ``foreign`` are the
    first of them.
    """

    letters: list[FiledLetter]
    next_cursor: str
    caught_up: bool
    unreadable: int
    foreign: list[Foreign]


class DeadLetters:
    """``topics_of`` gives what a subscription reads, None for one that is deleted: its letters stay. ``facts_of``: what
    filters learn of an event by; ``is_avro``: whether the data of a topic lies there in Avro; ``catalogue``: what makes
    the webhook ids of a topic.
    """

    def __init__(
        self,
        source: RecordSource,
        runs: Runs,
        *,
        log: RereadsLog,
        catalogue: Catalogue,
        topics_of: Callable[[str], Sequence[str] | None],
        facts_of: FactsOf,
        is_avro: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.source, self._runs, self._log, self._topics_of = source, runs, log, topics_of
        self.facts_of, self._is_avro, self._catalogue = facts_of, is_avro, catalogue

    def topic_of(self, subscription: str) -> str:
        return dead_letter_topic_of(group_of(self._runs.namespace, subscription))

    def fates(self, subscription: str) -> Fates:
        return Fates(self._runs.takers(subscription), self._runs.settings.redrives_max)

    def judge(self, subscription: str) -> Judge:
        """Who tells its dead letters from what others wrote there."""
        return Judge(subscription, group_of(self._runs.namespace, subscription), self._topics_of(subscription))

    async def search(self, subscription: str, wanted: Search, start: str | None) -> DeadLetterPage:
        """Those found from ``start`` on, the oldest first within a partition, and where to go on."""
        files, chooser = await self._files(subscription), await self.chooser(subscription, wanted.select)
        judge = self.judge(subscription)
        found: list[FiledLetter] = []
        foreign: list[Foreign] = []
        cursor, caught_up, scanned, unreadable = start, False, 0, 0
        paging = await Paging.open(self.source, self.topic_of(subscription))
        while not caught_up and len(found) < wanted.limit and scanned < wanted.scanned_max:
            # Never more than are still wanted, so that the page's cursor is the answer's.
            page = await paging.take(cursor, wanted.limit - len(found))
            for record in page.records:
                letter = judge.read(record)
                if isinstance(letter, Foreign):
                    unreadable += 1
                    foreign += [letter] if len(foreign) < FOREIGN_MAX else []
                elif chooser.takes(letter):
                    filed = files.file(record, letter)
                    found += [filed] if not wanted.states or filed.fate.state in wanted.states else []
            scanned += max(1, len(page.records))
            cursor, caught_up = page.next_cursor, page.caught_up
        return DeadLetterPage(
            letters=found, next_cursor=cursor or "", caught_up=caught_up, unreadable=unreadable, foreign=foreign
        )

    async def all(
        self, subscription: str, scanned_max: int, select: Selection | None = None
    ) -> AsyncIterator[FiledLetter]:
        """Every dead letter selected that lies there now; later ones are no part of it.

        Raises `Conflict` when more than ``scanned_max`` records would have to be looked at (part of the answer is
        none), `FilterInvalid` for filters on data that lies in Avro.
        """
        files, chooser = await self._files(subscription), await self.chooser(subscription, select or Selection())
        judge = self.judge(subscription)
        cursor: str | None = "earliest"
        left = scanned_max
        paging = await Paging.open(self.source, self.topic_of(subscription))
        while True:
            page = await paging.take(cursor, PAGE_RECORDS)
            for record in page.records:
                letter = judge.read(record)
                if not isinstance(letter, Foreign) and chooser.takes(letter):
                    yield files.file(record, letter)
            left -= max(1, len(page.records))
            cursor = page.next_cursor
            if page.caught_up:
                return
            if left <= 0:
                raise Conflict(
                    f"more than {scanned_max} records lie in {self.topic_of(subscription)}: look page by page"
                )

    async def chooser(self, subscription: str, select: Selection) -> Chooser:
        """``select`` ready to be asked. Raises `FilterInvalid` for filters on data that lies in Avro."""
        filters = compile_filters(select.filters, field="/select/filters")
        check_no_avro(filters, self._topics_of(subscription) or (), self._is_avro)
        return Chooser(select, self.facts_of, await self._prefixes(subscription))

    async def _files(self, subscription: str) -> _Files:
        return _Files(self.fates(subscription), await self._prefixes(subscription))

    async def _prefixes(self, subscription: str) -> dict[str, str]:
        """What the webhook ids of its topics begin with; topics that are gone have none any more."""
        found: dict[str, str] = {}
        for topic in self._topics_of(subscription) or ():
            with contextlib.suppress(TopicNotFound):
                found[topic] = id_prefix((await self._catalogue.get(topic)).topic_id)
        return found

    async def at(self, subscription: str, partition: int, offset: int) -> FiledLetter:
        """The dead letter at one place. Raises `LetterNotFound`."""
        topic = self.topic_of(subscription)
        record = await self._log.fetch(topic, partition, offset)
        if record is None:
            raise LetterNotFound(f"{topic}/{partition}/{offset}")
        letter = self.judge(subscription).read(record)
        if isinstance(letter, Foreign):
            raise LetterNotFound(f"{topic}/{partition}/{offset}", f"what lies there is none: {letter.why}")
        return (await self._files(subscription)).file(record, letter)

    async def is_as_published(self, letter: DeadLetter) -> bool | None:
        """Whether the letter's bytes are those at the place it claims to be from; None: they are not there any more."""
        record = await self._log.fetch(*letter.origin)
        return None if record is None else (record.key, record.value) == (letter.record.key, letter.record.value)


class _Files(NamedTuple):
    fates: Fates
    prefixes: Mapping[str, str]

    def file(self, record: Record, letter: DeadLetter) -> FiledLetter:
        return FiledLetter(
            place=record.position,
            at_ms=record.timestamp_ms,
            letter=letter,
            fate=self.fates.of(record.position, letter),
            webhook_id=webhook_id_of(letter, self.prefixes),
        )
