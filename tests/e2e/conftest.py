"""What the end-to-end tests of the bridge's operations ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.broker_source import Kafka
from tests.e2e.rig import Rig
from tests.sink import Sink


@pytest.fixture
def rig(tmp_path: Path, kafka: Kafka, topic_name: str) -> Rig:
    """A namespace of the test's own; its bridge looks after others' doings every second, so that no test waits long."""
    return Rig(tmp_path, kafka.bootstrap_servers, topic_name[-20:].strip("-"), check_s=1, topic_check_s=1)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as made:
        yield made
