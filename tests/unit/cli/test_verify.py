"""`pipeline verify` prints the row and what was found; its exit status says whether anything was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.program import run
from pipeline.verify import Appended, HistoryWriter, Received

ID = "evt_abcdefghij_0_0"


def history(folder: Path, *, lost: bool) -> list[str]:
    producer, receiver = (HistoryWriter(folder / name, name) for name in ("producer", "receiver"))
    producer.write(Appended(at=1.0, id=ID, key="k"))
    if not lost:
        receiver.write(Received(at=2.0, id=ID, status=204))
    return [str(folder / "producer"), str(folder / "receiver")]


def test_a_good_history_is_a_row_and_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *history(tmp_path, lost=False)]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert "out of order" in heading
    assert row.split()[:3] == ["producer", "1", "0"]


def test_what_is_found_is_said_and_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *history(tmp_path, lost=True)]) == 1
    assert f"lost: {ID}" in capsys.readouterr().out


def test_json_has_every_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--json", *history(tmp_path, lost=True)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["events"], found["lost"]) == (False, 1, 1)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(tmp_path / "none")]) == 1
    assert "does not exist" in capsys.readouterr().err
