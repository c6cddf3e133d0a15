"""Which writes of a table's topic count: the rule by which every process that replays it reaches the same rows.

A write carries its **turn**: one more than the turn of the row it was based on, as its writer saw it. Replay takes a
write whose turn is above the row's and ignores any other: of two writes based on the same row the first on the log
wins, everywhere, without a leader. (*Above* suffices. A writer sees a prefix of the log, so on a whole log a turn that
counts is one more; on a compacted one, whose earlier turns are gone, it may jump.)

Compaction keeps the *last* record of a key, and that may be an ignored one, the winner gone. Such a key is
**unsettled** until an accepted write follows: whoever lost appends the accepted row again (a repair, same version, next
turn), and whoever finds an unsettled key later does too. ``min.compaction.lag.ms`` is the time there is for it.

A deleted row stays as a **marker** (a record with an empty value): without it a late loser could bring the row back.
A marker is **forgotten** by a tombstone (null value) that names its turn, `FORGET_AFTER_MS` later, when no write based
on the row before can still be under way.

A record without a turn was written by an operator's own hand (kcat, a console): it counts at once, whatever came
before; its turn is its offset + 1, which is above every turn so far (each turn took a record).

Never seen here: time, threads, a client. Offsets and timestamps come with the records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.record import Headers, Record

TURN = "table-turn"
VERSION = "table-version"
DELETED = "table-deleted"
FORGET_AFTER_MS = 24 * 3600 * 1000


class Row(NamedTuple):
    """A row's bytes and its version: the offset it was first written at, what a later write must be based on."""

    value: bytes
    version: int


class Held(NamedTuple):
    """What the log says of a key: its row, or ``deleted``, at ``turn`` since ``at_ms``."""

    row: Row
    turn: int
    deleted: bool
    at_ms: int


class Write(NamedTuple):
    """A record to append; its key is the row's key in UTF-8."""

    value: bytes | None
    headers: Headers


class ReplayRule:
    """The rows of one table after the records applied so far, in log order."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._unsettled: dict[str, int] = {}

    def get(self, key: str) -> Row | None:
        held = self._held.get(key)
        return None if held is None or held.deleted else held.row

    def rows(self) -> dict[str, Row]:
        """A copy: key → row."""
        return {key: held.row for key, held in self._held.items() if not held.deleted}

    def unsettled(self, before_ms: int) -> list[str]:
        """Keys whose last record was ignored at a timestamp before ``before_ms``."""
        return [key for key, at_ms in self._unsettled.items() if at_ms < before_ms]

    def is_unsettled(self, key: str) -> bool:
        """Whether the last record of the key was ignored, so that compaction would keep the wrong one."""
        return key in self._unsettled

    def forgettable(self, now_ms: int) -> Iterator[str]:
        """Keys deleted more than `FORGET_AFTER_MS` ago."""
        return (key for key, held in self._held.items() if held.deleted and held.at_ms < now_ms - FORGET_AFTER_MS)

    def apply(self, record: Record) -> bool:
        """Take the next record of the log; False when it is ignored. Keys that are no UTF-8 are ignored, too."""
        key = _text(record.key)
        if key is None:
            return False
        held = self._held.get(key)
        turn = _number(record.header(TURN))
        if turn is None:
            return self._accept(key, record, record.offset + 1)
        now = held.turn if held is not None else 0
        if record.value is None and turn >= now:  # >=: it names the turn it forgets
            return self._accept(key, record, turn)
        if record.value is not None and turn > now:
            return self._accept(key, record, turn)
        if held is not None:
            self._unsettled[key] = record.timestamp_ms
        return False

    def write(self, key: str, value: bytes | None) -> Write:
        """The record that sets (None: deletes) the row as it is now."""
        turn = (TURN, b"%d" % (self._turn(key) + 1))
        return Write(b"", (turn, (DELETED, b"1"))) if value is None else Write(value, (turn,))

    def repair(self, key: str) -> Write | None:
        """The record that says again what holds for an unsettled key, its version unchanged; None if nothing does."""
        held = self._held.get(key)
        if held is None:
            return None
        value, headers = self.write(key, None if held.deleted else held.row.value)
        return Write(value, (*headers, (VERSION, b"%d" % held.row.version)))

    def forget(self, key: str) -> Write:
        """The tombstone that ends a deleted key, unless somebody writes it first."""
        return Write(None, ((TURN, b"%d" % self._turn(key)),))

    def _turn(self, key: str) -> int:
        held = self._held.get(key)
        return held.turn if held is not None else 0

    def _accept(self, key: str, record: Record, turn: int) -> bool:
        self._unsettled.pop(key, None)
        if record.value is None:
            self._held.pop(key, None)
            return True
        version = _number(record.header(VERSION))
        row = Row(record.value, record.offset if version is None else version)
        self._held[key] = Held(row, turn, record.header(DELETED) is not None, record.timestamp_ms)
        return True


def _text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) < 20 else None
