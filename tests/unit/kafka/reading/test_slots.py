"""How far readers read ahead, and when they are told to stop."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from pipeline.kafka.reading.feed import Feed
from pipeline.kafka.reading.orders import Flow, Order, Pause, ViewSettings
from pipeline.kafka.reading.segment import Held
from pipeline.kafka.reading.slots import NEAR_BYTES_MAX, NEAR_BYTES_MIN, Slots
from pipeline.kafka.reading.stream import Stream
from pipeline.record import Record

READER = 0


class Bench:
    """Streams of as many partitions at one reader, each with a feed that takes nothing."""

    def __init__(self, partitions: int, settings: ViewSettings | None = None) -> None:
        self.orders: list[Order] = []
        self.slots = Slots(settings or ViewSettings(), self.orders.append, count(1))
        held = Held(10**9)
        nobody: Any = None
        self.streams = [Stream(number, ("orders", number), 0, held, 0.0) for number in range(partitions)]
        for stream in self.streams:
            stream.attach(Feed(nobody, 0, lambda: None))
            self.slots.start(stream, READER)
        self.orders.clear()

    def read(self, stream: Stream, size_bytes: int) -> bool:
        """So much more lies before the stream's feed; whether it is hungry still."""
        at = stream.next_offset
        stream.segment.append([Record(*stream.place, at, 0, None, b"")], at + 1, size_bytes)
        return self.slots.weigh(stream)


@pytest.mark.parametrize(
    ("partitions", "enough_bytes"), [(1, NEAR_BYTES_MAX), (4, NEAR_BYTES_MAX // 4), (100, NEAR_BYTES_MIN)]
)
def test_no_more_is_read_ahead_than_the_cache_holds(partitions: int, enough_bytes: int) -> None:
    bench = Bench(partitions)
    assert bench.read(bench.streams[0], enough_bytes - 1)
    assert not bench.read(bench.streams[0], 1)


def test_a_reader_that_has_read_enough_for_all_rests() -> None:
    bench = Bench(2)
    for stream in bench.streams:
        bench.read(stream, NEAR_BYTES_MAX)
    assert bench.orders == [Flow(READER, on=False)]


def test_what_was_fetched_is_thrown_away_only_to_save_memory() -> None:
    bench = Bench(2)
    stream, share = bench.streams[0], ViewSettings().segment_bytes_max // 4
    bench.read(stream, 2 * share - 1)
    assert not bench.orders
    bench.read(stream, 1)
    assert bench.orders == [Pause(READER, stream.place)]


def test_a_small_view_stays_small() -> None:
    bench = Bench(2, ViewSettings(segment_bytes_max=4_000))
    assert bench.read(bench.streams[0], 999)
    assert not bench.read(bench.streams[0], 1)
