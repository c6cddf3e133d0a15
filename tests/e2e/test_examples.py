"""Examples that bring tests pass them, as a reader would run them: on a Kafka of their own."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from tests.broker_source import Kafka

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]


@pytest.mark.slow
async def test_the_service_passes_its_own_test(kafka: Kafka) -> None:
    # The fixture says that an embedded Kafka can be had here; the example starts its own.
    environment = {name: value for name, value in os.environ.items() if name != "PIPELINE_BOOTSTRAP_SERVERS"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/consume",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment,
    )  # fmt: skip
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    assert "1 passed" in printed.decode()
