"""Commands find the Kafka that `pipeline dev` runs in their folder, and only that."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli.local_broker import BOOTSTRAP_SERVERS, data_dir_of, local_broker, or_local


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def ran_at(directory: Path, port: int) -> None:
    data_dir_of(directory).mkdir(parents=True)
    lines = f"node.id=1\nlisteners=PLAINTEXT://127.0.0.1:{port}\nadvertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
    (data_dir_of(directory) / "server.properties").write_text(lines)


def test_a_broker_that_runs_here_is_found(tmp_path: Path, listener: int) -> None:
    ran_at(tmp_path, listener)
    assert local_broker(tmp_path) == f"127.0.0.1:{listener}"


def test_a_broker_that_ran_here_is_not(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        ran_at(tmp_path, probe.getsockname()[1])
    assert local_broker(tmp_path) is None


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    assert local_broker(tmp_path) is None


def test_a_kafka_that_was_named_wins(tmp_path: Path, listener: int) -> None:
    ran_at(tmp_path, listener)
    assert or_local(tmp_path, {BOOTSTRAP_SERVERS: "flag"}) is None
