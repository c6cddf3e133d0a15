"""Histories as files: append-only JSON lines, each written whole at once, so that kill -9 takes none of them away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from pipeline.errors import FormatUnreadable
from pipeline.verify.lines import Line


class HistoryWriter:
    """Appends to one file; several writers, in several processes, may share it."""

    def __init__(self, path: Path, by: str, wall_clock: Callable[[], float] = time.time) -> None:
        self.by, self.now = by, wall_clock
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: Line) -> None:
        """The line is the kernel's when this returns; it is not waited for on its way to the disk."""
        os.write(self._file, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read_history(path: Path) -> Iterator[Line]:
    """The lines of a file. Raises `FormatUnreadable` naming the line that is none; a last one cut short is left out."""
    decoder = msgspec.json.Decoder(Line)
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                return
            try:
                yield decoder.decode(text)
            except msgspec.MsgspecError as error:
                raise FormatUnreadable(f"{path.name}:{number}", text.decode(errors="replace"), str(error)) from None
