"""Long-running commands before they run, and the local broker others find."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli.local_broker import BOOTSTRAP_SERVERS, data_dir_of, local_broker, or_local
from pipeline.cli.receiver import line_of
from pipeline.cli.serve import _listen
from pipeline.errors import DeclarationInvalid
from pipeline.receiver import Received
from tests.unit.cli.commands import Program


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A loopback port somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_port_that_is_taken_is_said_with_what_to_do(taken_port: int) -> None:
    with pytest.raises(DeclarationInvalid, match="--port"):
        _listen("127.0.0.1", taken_port)


def test_dev_listens_where_the_configuration_says(
    program: Program, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_GATEWAY_PORT", str(taken_port))
    ended = program("dev")
    assert (ended.status, ended.out) == (1, "")
    assert str(taken_port) in ended.err


def test_a_free_port_is_listened_on() -> None:
    with _listen("127.0.0.1", 0) as listener:
        socket.create_connection(listener.getsockname()).close()


@pytest.mark.parametrize("command", ["serve", "gateway"])
def test_a_listener_others_could_reach_is_refused(program: Program, command: str) -> None:
    ended = program(command, "--host", "0.0.0.0", "--bootstrap-servers", "127.0.0.1:1")  # noqa: S104 - refused here
    assert (ended.status, ended.out) == (1, "")
    assert "loopback" in ended.err


def test_logs_have_two_forms(program: Program) -> None:
    assert "text or json" in program("bridge", "--logs", "xml").err


def test_without_kafka_the_bridge_does_not_begin(program: Program) -> None:
    program.down = True
    ended = program("bridge")
    assert (ended.status, ended.out) == (1, "")


def advertise(folder: Path, port: object) -> None:
    data_dir_of(folder).mkdir(parents=True, exist_ok=True)
    text = f"listeners=x\nadvertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
    (data_dir_of(folder) / "server.properties").write_text(text)


def test_the_broker_that_dev_runs_here_is_found(tmp_path: Path, taken_port: int) -> None:
    advertise(tmp_path, taken_port)
    assert local_broker(tmp_path) == f"127.0.0.1:{taken_port}"
    assert or_local(tmp_path, {}) == f"127.0.0.1:{taken_port}"
    assert or_local(tmp_path, {BOOTSTRAP_SERVERS: "pipeline.toml"}) is None


def test_one_that_has_ended_or_was_never_there_is_not(tmp_path: Path, taken_port: int) -> None:
    assert local_broker(tmp_path) is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    advertise(tmp_path, port)
    assert local_broker(tmp_path) is None
    advertise(tmp_path, "x")
    assert local_broker(tmp_path) is None


def test_the_sample_receiver_prints_a_line_per_delivery_that_cannot_move_the_cursor() -> None:
    received = Received(
        at=1_795_219_201.25, path="/", status=204, attempt=2, id="evt_x_0_1", type="shop\x1b[2J.order", key="42"
    )
    line = line_of(received)
    assert line.startswith("00:00:01.250  204  attempt 2  evt_x_0_1  shop\\x1b[2J.order  key 42")
