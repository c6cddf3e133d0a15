"""LogView: all reading of the log in this process; one tail consumer, a few backlog readers, everything bounded.

What is read where is decided by `pipeline.kafka.reading.board`; this file gives it threads, a clock and look-ups.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from pipeline.errors import BrokerUnavailable, PipelineError
from pipeline.hooks import Hooks
from pipeline.kafka.client import ClientConf, KafkaSettings, client_conf
from pipeline.kafka.reading.board import Board
from pipeline.kafka.reading.feed import Feed, Gap, Slice
from pipeline.kafka.reading.lookups import LookUps
from pipeline.kafka.reading.orders import REREAD, TAIL, Bounds, LookUp, ViewSettings
from pipeline.kafka.reading.reader import Reader
from pipeline.kafka.reading.rereads import Rereads
from pipeline.kafka.reading.said import Appended, Broken, Doubted, Ended, Lost, Refused, Said, Trouble
from pipeline.kafka.reading.stream import Place
from pipeline.record import Record

__all__ = ["Feed", "Gap", "LogView", "Slice", "ViewSettings"]

TICK_S = 1.0
RESTART_S = 1.0
STOP_S = 10.0


class LogView:
    """Used on one event loop only. `start` it before the first feed, `stop` it when the last one is closed."""

    def __init__(self, settings: KafkaSettings, limits: ViewSettings | None = None, hooks: Hooks | None = None) -> None:
        self._settings, self._limits, self._hooks = settings, limits or ViewSettings(), hooks or Hooks()
        self._board = Board(self._limits, self._news)
        self._rereads = Rereads(self._board.order, self._board.numbers)
        self._readers: dict[int, Reader] = {}
        self._looking_up: set[Place] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flush_due = self._rereads_due = self._stopped = False
        # Readers that failed, until they begin again: orders for them are made anew then.
        self._resting: dict[int, asyncio.TimerHandle] = {}

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lookups = LookUps(self._settings)
        self._tick()

    async def stop(self) -> None:
        """End the threads; feeds that are still open get nothing new any more."""
        self._stopped = True
        for timer in (self._ticking, *self._resting.values()):
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._lookups.close)
        readers, self._readers = list(self._readers.values()), {}
        for reader in readers:
            reader.stop()
        for reader in readers:
            if not await asyncio.to_thread(reader.join, STOP_S):
                self._hooks.on_consumer_error(TimeoutError(f"reader {reader.number} does not stop"))

    def feed(self, topic: str, partition: int, offset: int, on_ready: Callable[[], None]) -> Feed:
        """Every record from ``offset`` on; never waits. Close it."""
        return self._board.open((topic, partition), offset, on_ready)

    async def fetch(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at ``offset``, read again; None when it is not on the log (any more).

        Raises `BrokerUnavailable` when there is no answer in time, `TopicNotFound`, `LogError`.
        """
        place = (topic, partition)
        found = self._board.find(place, offset)
        if found is not None:
            return found
        answered: asyncio.Future[Record | PipelineError | None] = self._loop.create_future()

        def answer(outcome: Record | PipelineError | None) -> None:
            if not answered.done():
                answered.set_result(outcome)

        self._rereads.want(place, offset, answer)
        if not self._rereads_due:
            self._rereads_due = True
            self._loop.call_soon(self._begin_rereads)
        try:
            outcome = await asyncio.wait_for(answered, self._settings.request_timeout_s)
        except TimeoutError:
            raise BrokerUnavailable(f"read {topic}/{partition}/{offset} again: no answer in time") from None
        finally:
            self._rereads.forgo(place, offset, answer)
        if isinstance(outcome, PipelineError):
            raise outcome
        return outcome

    def forget(self, topic: str, error: PipelineError) -> None:
        """Drop what is in memory of ``topic`` (it was deleted or made anew); its open feeds raise ``error``."""
        for place in [place for place in self._board.parts if place[0] == topic]:
            self._board.forget(place, error)

    def _begin_rereads(self) -> None:
        self._rereads_due = False
        self._rereads.begin()

    # From the board to the threads and the feeds.

    def _news(self) -> None:
        if not self._flush_due and not self._stopped:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        board = self._board
        self._flush_due = True
        try:
            while board.orders or board.ready:
                self._pass_orders_on()
                ready, board.ready = board.ready, []
                for feed in ready:
                    self._call(feed)
        finally:
            self._flush_due = False

    def _pass_orders_on(self) -> None:
        orders, self._board.orders = self._board.orders, []
        for order in () if self._stopped else orders:
            if isinstance(order, LookUp):
                if not self._looking_up:
                    self._loop.call_soon(self._look_up)
                self._looking_up.add(order.place)
            elif order.reader not in self._resting:
                self._reader(order.reader).order(order)

    def _call(self, feed: Feed) -> None:
        try:
            feed.on_ready()
        except Exception as error:  # noqa: BLE001 - one reader's fault must not keep the others from their records
            self._loop.call_exception_handler({"message": "on_ready of a feed failed", "exception": error})

    def _reader(self, number: int) -> Reader:
        reader = self._readers.get(number)
        if reader is None:
            batch_bytes_max = min(self._limits.segment_bytes_max // 4, self._limits.view_bytes_max // 16)
            reader = Reader(number, self._conf(number), batch_bytes_max, self._from_thread)
            self._readers[number] = reader
            reader.start()
        return reader

    def _conf(self, number: int) -> ClientConf:
        role = {TAIL: "tail", REREAD: "reread"}.get(number, f"backlog-{number}")
        small = number == REREAD
        return {
            **client_conf(self._settings, role),
            # The client wants a group; nobody joins it and nothing is ever committed to it.
            "group.id": f"{self._settings.client_id}-{role}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            # A stream leaves its backlog reader at the end of the log, and learns of the end after this wait.
            "fetch.wait.max.ms": 100 if number == TAIL else 10,
            "fetch.message.max.bytes": 65_536 if small else 262_144,
            "queued.max.messages.kbytes": 128 if small else max(1, self._limits.prefetch_bytes_max // 1024),
            "fetch.queue.backoff.ms": 5,
        }

    # From the threads to the board.

    def _from_thread(self, reader: Reader, said: list[Said]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._said, reader, said)

    def _said(self, reader: Reader, said: list[Said]) -> None:
        if self._readers.get(reader.number) is not reader:
            return
        self._flush_due = True
        try:
            for one in said:
                self._take_over(reader, one)
        except Exception as error:  # noqa: BLE001 - what was not taken over must not be passed by: read it again
            self._replace(reader, error)
        reader.taken_over()
        self._flush()

    def _take_over(self, reader: Reader, one: Said) -> None:
        whose = self._rereads if reader.number == REREAD else self._board
        match one:
            case Appended(assignment, records, size_bytes):
                whose.appended(assignment, records, size_bytes)
            case Ended(assignment, offset):
                whose.ended(assignment, offset)
            case Refused(assignment):
                whose.refused(assignment)
            case Doubted(assignment):
                whose.doubted(assignment)
            case Broken(assignment, error):
                whose.broken(assignment, error)
            case Trouble(error):
                self._hooks.on_consumer_error(error)
            case Lost(cause):
                self._replace(reader, cause)

    def _replace(self, reader: Reader, error: Exception) -> None:
        """The reader is of no use any more; another one takes its place, after a while."""
        self._hooks.on_consumer_error(error)
        reader.stop()
        del self._readers[reader.number]
        self._resting[reader.number] = self._loop.call_later(RESTART_S, self._begin_again, reader.number)

    def _begin_again(self, number: int) -> None:
        del self._resting[number]
        whose = self._rereads if number == REREAD else self._board
        whose.restart(number)

    # The clock and look-ups.

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(TICK_S, self._tick)
        self._board.tick(time.monotonic())
        self._rereads.tick()
        self._hooks.on_view_bytes(*self._board.bytes_held())

    def _look_up(self) -> None:
        places, self._looking_up = self._looking_up, set()
        if not self._stopped:
            task = self._loop.create_task(self._ask(sorted(places)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, places: list[Place]) -> None:
        answers: Mapping[Place, Bounds | PipelineError]
        try:
            answers = await self._lookups.bounds(places)
        except PipelineError as error:
            answers = dict.fromkeys(places, error)
        for place, answer in answers.items():
            for whose in (self._board, self._rereads):
                if isinstance(answer, Bounds):
                    whose.bounds(place, answer)
                else:
                    whose.no_bounds(place, answer)
