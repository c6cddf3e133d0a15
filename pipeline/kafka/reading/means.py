"""Means: what all partitions of the log view share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.kafka.reading.orders import Order, ViewSettings
from pipeline.kafka.reading.segment import Held
from pipeline.kafka.reading.slots import Slots


class Means:
    """Limits, memory, readers and the time."""

    def __init__(self, settings: ViewSettings, order: Callable[[Order], None], numbers: Iterator[int]) -> None:
        self.settings, self.order, self.numbers = settings, order, numbers
        self.held = Held(settings.view_bytes_max)
        self.slots = Slots(settings, order, numbers)
        self.now_s = 0.0
