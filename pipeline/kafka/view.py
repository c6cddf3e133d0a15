"""LogView: all reading of the log in this process; one tail consumer, a few backlog readers, everything bounded.

What is read where is decided by `pipeline.kafka.reading.board`; this file gives it threads, a clock and look-ups.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from pipeline.errors import PipelineError
from pipeline.hooks import Hooks
from pipeline.kafka.calls import AdminCalls
from pipeline.kafka.client import ClientConf, KafkaSettings, client_conf, translated
from pipeline.kafka.reading.board import Board
from pipeline.kafka.reading.feed import Feed, Gap, Slice
from pipeline.kafka.reading.orders import TAIL, Bounds, LookUp, ViewSettings
from pipeline.kafka.reading.reader import Appended, Broken, Doubted, Ended, Lost, Reader, Refused, Said, Trouble
from pipeline.kafka.reading.stream import Place
from pipeline.record import Record

__all__ = ["Feed", "Gap", "LogView", "Slice", "ViewSettings"]

TICK_S = 1.0
EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]  # not typed
STOP_S = 10.0


class LogView:
    def __init__(self, settings: KafkaSettings, limits: ViewSettings | None = None, hooks: Hooks | None = None) -> None:
        self._settings, self._limits, self._hooks = settings, limits or ViewSettings(), hooks or Hooks()
        self._board = Board(self._limits, self._news)
        self._readers: dict[int, Reader] = {}
        self._looking_up: set[Place] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushing = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls = AdminCalls(self._settings, "view")
        self._board.tick(time.monotonic())
        self._ticking = self._loop.create_task(self._tick())

    async def stop(self) -> None:
        self._ticking.cancel()
        for task in (self._ticking, *self._tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._ticking
        readers, self._readers = list(self._readers.values()), {}
        for reader in readers:
            reader.stop()
        for reader in readers:
            await asyncio.to_thread(reader.join, STOP_S)

    def feed(self, topic: str, partition: int, offset: int, on_ready: Callable[[], None]) -> Feed:
        """Every record from ``offset`` on; never waits. Close it."""
        return self._board.open((topic, partition), offset, on_ready)

    async def fetch(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at ``offset``, read again; None when it is there no longer (or never was)."""
        found = self._board.find((topic, partition), offset)
        if found is not None:
            return found
        ready = asyncio.Event()
        feed = self.feed(topic, partition, offset, ready.set)
        try:
            while feed.position <= offset:
                taken = feed.take(1)
                if taken is None:
                    ready.clear()
                    await ready.wait()
                elif taken.records and taken.records[0].offset == offset:
                    return taken.records[0]
            return None
        finally:
            feed.close()

    def forget(self, topic: str, error: PipelineError) -> None:
        """Drop what is in memory of ``topic`` (it was deleted or made anew); its open feeds raise ``error``."""
        for place in self._board.places():
            if place[0] == topic:
                self._board.forget(place, error)

    # Between the board and the threads.

    def _news(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        board = self._board
        while board.orders or board.ready:
            orders, board.orders = board.orders, []
            for order in orders:
                if isinstance(order, LookUp):
                    if not self._looking_up:
                        self._loop.call_soon(self._look_up)
                    self._looking_up.add(order.place)
                else:
                    self._reader(order.reader).order(order)
            ready, board.ready = board.ready, []
            for feed in ready:
                try:
                    feed.on_ready()
                except Exception as error:  # noqa: BLE001 - a reader's fault must not keep the others from their records
                    self._loop.call_exception_handler({"message": "on_ready of a feed failed", "exception": error})
        self._flushing = False

    def _reader(self, number: int) -> Reader:
        reader = self._readers.get(number)
        if reader is None:
            reader = self._readers[number] = Reader(number, self._conf(number), self._from_thread)
            reader.start()
        return reader

    def _conf(self, number: int) -> ClientConf:
        is_tail = number == TAIL
        role = "tail" if is_tail else f"backlog-{number}"
        return {
            **client_conf(self._settings, role),
            # The client wants a group; nothing is ever committed to it and nobody joins it.
            "group.id": f"{self._settings.client_id}-{role}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            # A stream leaves its backlog reader at the end of the log, which this wait delays.
            "fetch.wait.max.ms": 100 if is_tail else 10,
            "queued.max.messages.kbytes": max(1, self._limits.prefetch_bytes_max // 1024),
            "fetch.queue.backoff.ms": 10,
        }

    def _from_thread(self, reader: Reader, said: list[Said]) -> None:
        # The loop is closed: nobody reads any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._said, reader, said)

    def _said(self, reader: Reader, said: list[Said]) -> None:
        board = self._board
        if self._readers.get(reader.number) is not reader:
            return
        self._flushing = True
        for one in said:
            match one:
                case Appended(assignment, records, size_bytes):
                    board.appended(assignment, records, size_bytes)
                case Ended(assignment, offset):
                    board.ended(assignment, offset)
                case Refused(assignment):
                    board.refused(assignment)
                case Doubted(assignment):
                    board.doubted(assignment)
                case Broken(assignment, error):
                    board.broken(assignment, error)
                case Trouble(error):
                    self._hooks.on_consumer_error(error)
                case Lost(error):
                    self._hooks.on_consumer_error(error)
                    del self._readers[reader.number]
                    self._loop.call_later(TICK_S, self._restart, reader.number)
        reader.taken_over()
        self._flush()

    def _restart(self, number: int) -> None:
        self._board.restart(number)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._board.tick(time.monotonic())

    # Look-ups.

    def _look_up(self) -> None:
        places, self._looking_up = self._looking_up, set()
        task = self._loop.create_task(self._bounds(sorted(places)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bounds(self, places: list[Place]) -> None:
        low, end, high = await asyncio.gather(
            self._offsets(places, EARLIEST, IsolationLevel.READ_UNCOMMITTED),
            self._offsets(places, LATEST, IsolationLevel.READ_COMMITTED),
            self._offsets(places, LATEST, IsolationLevel.READ_UNCOMMITTED),
        )
        for place in places:
            answers = (low[place], end[place], high[place])
            failed = next((answer for answer in answers if isinstance(answer, PipelineError)), None)
            if failed is not None:
                self._board.no_bounds(place, failed)
            else:
                self._board.bounds(place, Bounds(*(answer for answer in answers if isinstance(answer, int))))

    async def _offsets(
        self, places: list[Place], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[Place, int | PipelineError]:
        requests = self._calls.raw.list_offsets(
            {TopicPartition(*place): spec for place in places},
            isolation_level=isolation,
            request_timeout=self._calls.timeout_s,
        )
        answers = await self._calls.answers(requests)
        found: dict[Place, int | PipelineError] = {}
        for asked, answer in answers.items():
            place = (asked.topic, asked.partition)
            if isinstance(answer, KafkaException):
                found[place] = translated(answer, f"look up {place[0]}/{place[1]}", topic=place[0])
            elif isinstance(answer, Exception):
                raise answer
            else:
                found[place] = answer.offset
        return found
