"""What the tutorial and the README's quick start tell to type works, and prints what they show."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.embedded.ports import free_port
from tests.docs.transcript import ROOT, Reader, missing, steps

PORTS = ("8080", "9092", "9000", "9001")

pytest.importorskip("jgo")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path, {port: str(free_port()) for port in PORTS})
    yield made
    made.stop()


@pytest.mark.kafka
@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_tutorial_goes_as_it_says(reader: Reader) -> None:
    reader.follow((ROOT / "docs" / "tutorial.md").read_text())


@pytest.mark.kafka
@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_quick_start_goes_as_it_says(reader: Reader, tmp_path: Path) -> None:
    for folder in ("topics", "schemas"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    page = (ROOT / "README.md").read_text()
    reader.follow(page[page.index("## Quick start") : page.index("## What is promised")])


def test_a_command_goes_on_over_open_quotes_and_here_documents() -> None:
    page = "```console\n$ a 'b\nc'\nout\n$ cat <<'END'\n$ no command\nEND\n```\n```sh\nnot run\n```\n"
    assert [(step.command, step.expected) for step in steps(page)] == [
        ("a 'b\nc'", ["out"]),
        ("cat <<'END'\n$ no command\nEND", []),
    ]


def test_dots_stand_for_anything_and_order_counts() -> None:
    assert missing(["a … c", "d"], "x\na   b c\nd\n") is None
    assert missing(["d", "a … c"], "a b c\nd\n") == "a … c"
