"""The pure part of the container source: variables, listeners and the start script."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.kafka_container import START_SCRIPT, WAIT_COMMAND, environment, start_script, variable


@pytest.mark.parametrize(
    ("name", "expected"),
    [("node.id", "KAFKA_NODE_ID"), ("a_b.c-d", "KAFKA_A__B_C___D"), ("log.dirs", "KAFKA_LOG_DIRS")],
)
def test_a_property_gets_the_images_variable(name: str, expected: str) -> None:
    assert variable(name) == expected


def test_only_the_clients_listener_is_reachable_from_outside() -> None:
    listeners = environment()["KAFKA_LISTENERS"].split(",")
    assert [listener for listener in listeners if "127.0.0.1" not in listener] == ["PLAINTEXT://0.0.0.0:9092"]


def test_the_advertised_address_is_left_to_the_start_script() -> None:
    assert "KAFKA_ADVERTISED_LISTENERS" not in environment()
    assert "PLAINTEXT://docker.host:49153,BROKER://127.0.0.1:9093" in start_script("docker.host", 49153)


def test_every_listener_has_a_protocol() -> None:
    mapped = {pair.split(":")[0] for pair in environment()["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert {listener.split(":")[0] for listener in environment()["KAFKA_LISTENERS"].split(",")} == mapped


def test_the_commands_are_shell() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    for script in (WAIT_COMMAND[-1], start_script("127.0.0.1", 1)):
        subprocess.run([shell, "-n", "-c", script], check=True)
    assert START_SCRIPT in WAIT_COMMAND[-1]
