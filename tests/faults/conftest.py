"""One cluster for all faults, and their rows as one table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pipeline.embedded import EmbeddedCluster
from pipeline.errors import EmbeddedError
from pipeline.verify import Verified
from pipeline.verify.checker import row_of
from tests.broker_source import missing

ROWS = pytest.StashKey[list[Mapping[str, object]]]()
TOLD = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    made = EmbeddedCluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start_blocking()
    except EmbeddedError as error:
        missing(str(error))
    try:
        yield made
    finally:
        made.stop_blocking()


@pytest.fixture
def judged(request: pytest.FixtureRequest) -> Callable[[Verified], None]:
    """Takes down the checker's row of this fault, and fails where something was found."""

    def judge(verified: Verified) -> None:
        name = request.node.name.removeprefix("test_").replace("_", " ")
        request.config.stash.setdefault(ROWS, []).append(row_of(name, verified))
        assert verified.findings == ()

    return judge


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def told(request: pytest.FixtureRequest) -> list[str]:
    """Lines to print at the end, beside the rows."""
    lines: list[str] = request.config.stash.setdefault(TOLD, [])
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(line)
    if not rows:
        return
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    terminalreporter.section("faults, as `pipeline verify` judges them")
    for row in ({name: name for name in widths}, *rows):
        terminalreporter.write_line("  ".join(str(row[name]).ljust(width) for name, width in widths.items()))
