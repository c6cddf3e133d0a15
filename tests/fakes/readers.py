"""FakeReaders: the reader threads, the look-ups and the log of the view's board, one step at a time.

Nothing happens by itself: a test says when a reader fetches, when the loop takes a hand-over, when a look-up answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from pipeline.errors import BrokerUnavailable
from pipeline.kafka.reading.board import Board
from pipeline.kafka.reading.feed import Feed
from pipeline.kafka.reading.orders import TAIL, Bounds, Flow, LookUp, Order, Pause, Resume, Start, Stop, ViewSettings
from pipeline.kafka.reading.stream import Place
from pipeline.record import Record

RECORD_BYTES = 40


@dataclass
class FakeLog:
    """One partition: everything that was ever on it, and what is left."""

    ever: dict[int, Record] = field(default_factory=dict)
    compacted: set[int] = field(default_factory=set)
    low: int = 0
    end: int = 0
    high: int = 0

    def append(self, place: Place, count: int, *, markers: int) -> None:
        """``count`` records, then control records; all of it stable."""
        for offset in range(self.high, self.high + count):
            self.ever[offset] = Record(*place, offset, 0, None, b"%d" % offset)
        self.high += count + markers
        self.end = self.high

    def alive(self, first: int, until: int) -> list[Record]:
        first = max(first, self.low)
        return [self.ever[at] for at in range(first, until) if at in self.ever and at not in self.compacted]


@dataclass
class Stay:
    assignment: int
    position: int
    ended_at: int = -1
    paused: bool = False


class FakeReader:
    def __init__(self, number: int) -> None:
        self.number = number
        self.orders: deque[Order] = deque()
        self.stays: dict[Place, Stay] = {}
        self.flowing = number == TAIL

    def obey(self) -> None:
        while self.orders:
            match self.orders.popleft():
                case Start(_, assignment, place, offset):
                    assert place not in self.stays, "one stream per reader and partition"
                    self.stays[place] = Stay(assignment, offset)
                case Stop(_, place):
                    del self.stays[place]
                case Pause(_, place):
                    assert not self.stays[place].paused
                    self.stays[place].paused = True
                case Resume(_, place):
                    assert self.stays[place].paused
                    self.stays[place].paused = False
                case Flow(_, on):
                    assert self.flowing is not on
                    self.flowing = on


class FakeReaders:
    """``logs`` may be changed at will between steps."""

    def __init__(self, settings: ViewSettings) -> None:
        self.board = Board(settings, lambda: None)
        self.logs: dict[Place, FakeLog] = {}
        self.readers = {number: FakeReader(number) for number in range(TAIL, settings.backlog_readers)}
        self.hand_overs: deque[Callable[[], None]] = deque()
        self.look_ups: deque[Place] = deque()
        self.appended_bytes_most = 0
        self.fetched_records = 0
        self.now_s = 100.0
        self.board.tick(self.now_s)

    def open(self, place: Place, offset: int, on_ready: Callable[[], None]) -> Feed:
        return self.board.open(place, offset, on_ready)

    def flush(self) -> None:
        """What the view does after every call: pass orders on, wake feeds."""
        board = self.board
        while board.orders or board.ready:
            orders, board.orders = board.orders, []
            for order in orders:
                if isinstance(order, LookUp):
                    self.look_ups.append(order.place)
                else:
                    self.readers[order.reader].orders.append(order)
            ready, board.ready = board.ready, []
            for feed in ready:
                feed.on_ready()

    def fetch(self, number: int, records_max: int, nth: int = 0) -> bool:
        """One fetch of one partition of one reader; False when there was nothing to say."""
        reader = self.readers[number]
        reader.obey()
        stays = [(place, stay) for place, stay in reader.stays.items() if not stay.paused]
        if not reader.flowing or not stays:
            return False
        for place, stay in stays[nth % len(stays) :] + stays[: nth % len(stays)]:
            if self._fetch(place, stay, records_max):
                return True
        return False

    def _fetch(self, place: Place, stay: Stay, records_max: int) -> bool:
        log, board, assignment = self.logs[place], self.board, stay.assignment
        if stay.position < log.low or stay.position > log.high:
            if stay.ended_at == -2:
                return False
            stay.ended_at = -2
            self.hand_overs.append(lambda: board.refused(assignment))
            return True
        records = log.alive(stay.position, log.end)[:records_max]
        if records:
            stay.position = records[-1].offset + 1
            size = RECORD_BYTES * len(records)
            self.fetched_records += len(records)
            self.appended_bytes_most = max(self.appended_bytes_most, size)
            self.hand_overs.append(lambda: board.appended(assignment, records, size))
            return True
        end = stay.position = max(log.end, stay.position)
        if stay.ended_at == end:
            return False
        stay.ended_at = end
        self.hand_overs.append(lambda: board.ended(assignment, end))
        return True

    def hand_over(self) -> bool:
        if not self.hand_overs:
            return False
        self.hand_overs.popleft()()
        self.flush()
        return True

    def answer(self, *, fail: bool = False) -> bool:
        """Answer the oldest look-up."""
        if not self.look_ups:
            return False
        place = self.look_ups.popleft()
        log = self.logs[place]
        if fail:
            self.board.no_bounds(place, BrokerUnavailable("no answer"))
        else:
            self.board.bounds(place, Bounds(log.low, log.end, log.high))
        self.flush()
        return True

    def crash(self, number: int) -> None:
        """A reader thread dies and is started again."""
        fresh = self.readers[number] = FakeReader(number)
        self.board.restart(number)
        self.flush()
        fresh.obey()

    def tick(self, elapsed_s: float) -> None:
        self.now_s += elapsed_s
        self.board.tick(self.now_s)
        self.flush()

    def doubt(self, number: int, *, refuse: bool) -> None:
        """A reader says of one of its partitions that it cannot be read, though nothing is wrong with it."""
        reader = self.readers[number]
        reader.obey()
        stay = next(iter(reader.stays.values()), None)
        if stay is not None:
            say = self.board.refused if refuse else self.board.doubted
            self.hand_overs.append(partial(say, stay.assignment))

    def run_dry(self, steps_max: int = 5_000) -> None:
        """Let everybody do what there is to do, without any time passing."""
        quiet = 0
        for step in range(steps_max):
            busy = [self.fetch(number, 1 + step % 5, step) for number in self.readers]
            while self.hand_over():
                pass
            self.answer()
            quiet = 0 if any(busy) else quiet + 1
            if quiet > 3:
                return
        raise AssertionError("it never comes to rest")

    def settle(self) -> None:
        """`run_dry`, again and again while seconds pass."""
        for _ in range(12):
            self.run_dry()
            self.tick(1.0)
