"""Orders: what the board wants done by the threads and by the admin client."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from pipeline.kafka.reading.stream import Place

TAIL, REREAD = -1, -2
"""The numbers of the tail reader and of the one that reads single records again; backlog readers count from 0."""


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
    ``view_bytes_max``; one hand-over may pass each of them. ``passed_bytes_max`` is what a backlog position with a
    single reader keeps of what that has read. Outside of these every reader's client holds ``prefetch_bytes_max``. A
    backlog position with competitors for the partition's readers gives way after ``turn_bytes_max``. With nobody
    reading, a backlog position is kept warm for ``stream_idle_s``, a tail for ``tail_idle_s``. A topic the broker does
    not know for ``doubt_s`` does not exist.
    """

    segment_bytes_max: int = 4 * 1024 * 1024
    view_bytes_max: int = 128 * 1024 * 1024
    backlog_readers: int = 4
    # Small on purpose: memory that stays in the processor's cache made a backlog record a quarter cheaper.
    passed_bytes_max: int = 256 * 1024
    prefetch_bytes_max: int = 4 * 1024 * 1024
    turn_bytes_max: int = 8 * 1024 * 1024
    stream_idle_s: float = 5.0
    tail_idle_s: float = 60.0
    doubt_s: float = 3.0
