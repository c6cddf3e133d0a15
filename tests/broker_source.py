"""Where the tests' broker comes from, and how the workers of one run share it.

Three sources: the embedded Kafka (default), ``PIPELINE_BOOTSTRAP_SERVERS`` (a broker of yours), or a container of
``apache/kafka`` (``PIPELINE_TEST_KAFKA=testcontainers``). A source that is missing skips on a laptop and fails where
the environment says ``CI``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from pipeline.embedded import EmbeddedKafka, EmbeddedSettings
from pipeline.embedded.places import locked
from pipeline.errors import EmbeddedError

START_LOCK_S = 900.0
LAST_USER_S = 300.0


class Kafka(NamedTuple):
    """A broker the tests may use; its topics are theirs to name (fixture ``topic_name``)."""

    bootstrap_servers: str


def missing(what: str) -> NoReturn:
    """A service that is not there: a skip on a laptop, a failure in CI."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def broker(base: Path) -> Iterator[Kafka]:
    """A broker from the configured source, as long as the context lasts; embedded ones live under ``base``."""
    if servers := os.environ.get("PIPELINE_BOOTSTRAP_SERVERS"):
        yield Kafka(servers)
        return
    if os.environ.get("PIPELINE_TEST_KAFKA") == "testcontainers":
        from tests.kafka_container import container  # noqa: PLC0415 - docker, for this source only

        with container() as servers:
            yield Kafka(servers)
        return
    embedded = EmbeddedKafka(EmbeddedSettings(data_dir=base / "broker", port=0))
    try:
        embedded.start_blocking()
    except EmbeddedError as error:
        missing(str(error))
    try:
        yield Kafka(embedded.bootstrap_servers)
    finally:
        embedded.stop_blocking()


@contextmanager
def shared_broker(base: Path) -> Iterator[Kafka]:
    """One broker for all workers of a run: the first starts it, and stops it after the last has let go.

    Every user holds a shared lock on one file, which a worker that crashes gives up too.
    """
    address, users, start = base / "address", base / "users.lock", base / "start.lock"
    base.mkdir(exist_ok=True)
    with ExitStack() as held:
        own: Kafka | None = None
        with locked(start, timeout_s=START_LOCK_S):
            if address.exists():
                held.enter_context(locked(users, timeout_s=LAST_USER_S, shared=True))
                found = Kafka(address.read_text())
            else:
                found = own = held.enter_context(broker(base))
                address.write_text(own.bootstrap_servers)
        yield found
        if own is not None:
            with locked(start, timeout_s=START_LOCK_S):
                address.unlink()
            with locked(users, timeout_s=LAST_USER_S):
                pass
