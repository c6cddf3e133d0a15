"""Histories are read back as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import FormatUnreadable
from pipeline.verify import Appended, Buried, Committed, Ended, HistoryWriter, Incident, Line, Received, Sent, Unsure
from pipeline.verify.history import read_history

ID = "evt_abcdefghij_0_0"
LINES: list[Line] = [
    Appended(at=1.0, by="p", id=ID, key="k"),
    Unsure(at=1.0, key=None),
    Sent(at=1.0, id=ID, attempt=1),
    Ended(at=1.0, id=ID, attempt=1, status=0),
    Buried(at=1.0, id=ID),
    Committed(at=1.0, topic="evt_abcdefghij_", partition=0, offset=1),
    Received(at=1.0, id=ID, status=204),
    Incident(at=1.0, name="kill", duplicates_max=3),
]


def test_lines_come_back(tmp_path: Path) -> None:
    writers = [HistoryWriter(tmp_path / "h", "a"), HistoryWriter(tmp_path / "h", "b")]
    for number, line in enumerate(LINES):
        writers[number % 2].write(line)
    for writer in writers:
        writer.close()
    assert list(read_history(tmp_path / "h")) == LINES


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(b'{"what":"buried","at":1.0,"id":"' + ID.encode() + b'"}\n{"what":"bur')
    assert len(list(read_history(tmp_path / "h"))) == 1


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(b'{"what":"married","at":1.0}\n')
    with pytest.raises(FormatUnreadable, match="h:1"):
        list(read_history(tmp_path / "h"))
