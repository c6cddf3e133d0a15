"""Orders: what the board wants done by the threads and by the admin client."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from pipeline.kafka.reading.stream import Place

TAIL = -1
"""The number of the tail reader; backlog readers count from 0."""


class Start(NamedTuple):
    """Read ``place`` from ``offset`` on; deliver under ``assignment``."""

    reader: int
    assignment: int
    place: Place
    offset: int


class Stop(NamedTuple):
    reader: int
    place: Place


class Pause(NamedTuple):
    reader: int
    place: Place


class Resume(NamedTuple):
    reader: int
    place: Place


class Flow(NamedTuple):
    """Whether the reader fetches for anybody now (``on``) or leaves what it has fetched where it is."""

    reader: int
    on: bool


class LookUp(NamedTuple):
    """Ask where the log of ``place`` begins and ends."""

    place: Place


Order: TypeAlias = Start | Stop | Pause | Resume | Flow | LookUp


class Bounds(NamedTuple):
    """A partition's log: ``low`` its start, ``end`` what read-committed readers reach, ``high`` the high watermark."""

    low: int
    end: int
    high: int


class ViewSettings(NamedTuple):
    """Limits of the log view.

    A segment (a partition's tail, or one backlog position) holds ``segment_bytes_max``, all of them together
    ``view_bytes_max``; each is passed by one hand-over at most. Beyond that every reader's client holds up to
    ``prefetch_bytes_max`` fetched ahead. A backlog position with competitors for the partition's readers gives way
    after ``turn_bytes_max``. Nobody reading: a backlog position is kept warm ``stream_idle_s``, a tail ``tail_idle_s``.
    """

    segment_bytes_max: int = 4 * 1024 * 1024
    view_bytes_max: int = 128 * 1024 * 1024
    backlog_readers: int = 4
    prefetch_bytes_max: int = 16 * 1024 * 1024
    turn_bytes_max: int = 8 * 1024 * 1024
    stream_idle_s: float = 5.0
    tail_idle_s: float = 60.0
    doubt_s: float = 3.0
