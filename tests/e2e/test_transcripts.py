"""What the tutorial, the operators' page and the README's quick start tell to type works, and prints what they show."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.embedded.ports import free_port
from tests.e2e.transcript import ROOT, Reader

PORTS = ("8080", "9092", "9000", "9001")

pytest.importorskip("jgo")
pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path, {port: str(free_port()) for port in PORTS})
    yield made
    made.stop()


def test_the_tutorial_goes_as_it_says(reader: Reader) -> None:
    reader.follow((ROOT / "docs" / "tutorial.md").read_text())


def test_stock_tools_operate_a_subscription_as_the_page_says(reader: Reader) -> None:
    reader.follow((ROOT / "docs" / "operating.md").read_text())


def test_the_quick_start_goes_as_it_says(reader: Reader, tmp_path: Path) -> None:
    for folder in ("topics", "schemas"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    page = (ROOT / "README.md").read_text()
    reader.follow(page[page.index("## Quick start") : page.index("## What is promised")])
