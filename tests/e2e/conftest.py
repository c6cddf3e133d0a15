"""What the end-to-end tests of the bridge's operations ask for, and what they measured, printed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pipeline.embedded import EmbeddedKafka, EmbeddedSettings
from pipeline.errors import EmbeddedError
from tests.broker_source import Kafka, missing
from tests.e2e.rig import Rig
from tests.sink import Sink

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def rig(tmp_path: Path, kafka: Kafka, topic_name: str) -> Rig:
    """A namespace of the test's own; its bridge looks after others' doings every second, so that no test waits long."""
    return Rig(tmp_path, kafka.bootstrap_servers, topic_name[-20:].strip("-"), check_s=1, topic_check_s=1)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as made:
        yield made


@pytest.fixture
async def own_kafka(tmp_path: Path) -> AsyncIterator[EmbeddedKafka]:
    """A broker nobody else uses, so that it may be stopped and killed."""
    broker = EmbeddedKafka(EmbeddedSettings(data_dir=tmp_path / "broker", port=0, heap_mb=256))
    try:
        await broker.start()
    except EmbeddedError as error:
        missing(str(error))
    yield broker
    await broker.stop()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes down one figure of this test, with its unit."""

    def told(text: str) -> None:
        request.config.stash.setdefault(FIGURES, []).append(f"{request.node.name}: {text}")

    return told


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    told = config.stash.get(FIGURES, [])
    if told:
        terminalreporter.section("figures")
    for line in told:
        terminalreporter.write_line(line)
