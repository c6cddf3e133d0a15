"""A Kafka for the length of a bench, thrown away afterwards: killed, not stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.embedded import EmbeddedKafka, EmbeddedSettings

SERVERS = "PIPELINE_BOOTSTRAP_SERVERS"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - directories in it are made by tempfile
FREE_BYTES = 4 * 2**30
KILLED_AFTER_S = 0.1


@contextlib.contextmanager
def throwaway_kafka() -> Iterator[str]:
    """``host:port``, as `pipeline.testing.local_kafka`, and yours where `SERVERS` names one. A thousand subscriptions
    have 12,000 partitions: closing their logs in order takes a broker minutes, deleting them from a disk as long again,
    so they lie in memory where there is plenty of that.
    """
    if servers := os.environ.get(SERVERS):
        yield servers
        return
    with (
        tempfile.TemporaryDirectory(prefix="bench-kafka-", dir=_place(), ignore_cleanup_errors=True) as directory,
        EmbeddedKafka(EmbeddedSettings(data_dir=Path(directory), port=0, stop_timeout_s=KILLED_AFTER_S)) as broker,
    ):
        yield broker.bootstrap_servers


def _place() -> Path | None:
    """None: where temporary files usually lie."""
    if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= FREE_BYTES:
        return IN_MEMORY
    return None
