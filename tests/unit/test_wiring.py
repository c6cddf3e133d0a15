"""Wiring: keys, guard and names from the configuration, and a start that fails cleanly."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.errors import AddressBlocked, BrokerUnavailable, DeclarationInvalid, PipelineError
from pipeline.push.parts import BridgeSettings
from pipeline.sealing import seal, unseal
from pipeline.wiring import Node, ensure_key_file, make_guard, make_keyring, named_instance, started
from pipeline.wiring.configured import ca_file_of

KEY = "k1:" + "QUFB" * 10 + "QUE="


def test_a_key_file_is_its_owners_alone_and_never_made_twice(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "secret.key"
    ensure_key_file(file)
    first = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ensure_key_file(file)
    assert file.read_text() == first


def test_two_key_files_differ(tmp_path: Path) -> None:
    ensure_key_file(tmp_path / "a")
    ensure_key_file(tmp_path / "b")
    assert (tmp_path / "a").read_text() != (tmp_path / "b").read_text()


def test_what_a_key_file_seals_opens_after_another_key_is_put_before_it(tmp_path: Path) -> None:
    config = load_config(tmp_path, {}, {})
    file = tmp_path / ".pipeline" / "secret.key"
    ensure_key_file(file)
    sealed = seal(make_keyring(config), b"whsec", bytes(12), b"here")
    file.write_text(f"{KEY}\n{file.read_text()}")
    assert unseal(make_keyring(config), sealed, b"here") == b"whsec"


def test_keys_of_the_configuration_win_over_the_file(tmp_path: Path) -> None:
    ensure_key_file(tmp_path / ".pipeline" / "secret.key")
    config = load_config(tmp_path, {"PIPELINE_SECRETS_KEYS": KEY}, {})
    assert seal(make_keyring(config), b"x", bytes(12), b"here").startswith("sealed1.k1.")


def test_without_any_key_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DeclarationInvalid, match="pipeline dev"):
        make_keyring(load_config(tmp_path, {}, {}))


def test_a_key_that_is_none_is_refused_unseen(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as refused:
        make_keyring(load_config(tmp_path, {"PIPELINE_SECRETS_KEYS": "k1:aHVudGVyMg=="}, {}))
    assert "aHVudGVyMg" not in str(refused.value)


def test_the_guard_lets_nothing_through_that_nobody_allowed(tmp_path: Path) -> None:
    strict = make_guard(load_config(tmp_path, {}, {}))
    with pytest.raises(AddressBlocked):
        strict.check_url("http://127.0.0.1:9000/hook")
    allowing = {"PIPELINE_WEBHOOK_ALLOW_HTTP": "true", "PIPELINE_WEBHOOK_ALLOW_LOOPBACK": "true"}
    make_guard(load_config(tmp_path, allowing, {})).check_url("http://127.0.0.1:9000/hook")


def test_a_worker_is_named_by_host_and_process_unless_it_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node-1.example.com")
    assert named_instance(BridgeSettings()).instance.startswith("node-1-example-com-")
    assert named_instance(BridgeSettings(instance="mine")).instance == "mine"
    monkeypatch.setattr(socket, "gethostname", lambda: "x" * 300)
    assert len(named_instance(BridgeSettings()).instance) <= 100


async def test_a_node_names_types_and_files_by_its_declarations(tmp_path: Path) -> None:
    (tmp_path / "topics").mkdir()
    (tmp_path / "topics" / "orders.yaml").write_text("name: orders\npartitions: 1\nevent_type: shop.order\n")
    environment = {"PIPELINE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "PIPELINE_WEBHOOK_CA_FILE": "ca.pem"}
    node = Node(load_config(tmp_path, environment, {}))
    assert (node.event_type("orders"), node.event_type("else")) == ("shop.order", "else.record")
    assert ca_file_of(node.config) == str(tmp_path / "ca.pem")
    assert node.table("runs").topic == "_pipeline-runs"
    await node.stop()


async def test_a_node_that_finds_no_kafka_says_so_and_leaves_nothing_running(tmp_path: Path) -> None:
    environment = {"PIPELINE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "PIPELINE_KAFKA_REQUEST_TIMEOUT_S": "1"}
    with pytest.raises(BrokerUnavailable):
        async with started(load_config(tmp_path, environment, {})):
            raise AssertionError("it started")
