"""Configuration: who wins, where each value came from, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import (
    ENVIRONMENT_ALIASES,
    ENVIRONMENT_OTHERS,
    Config,
    Key,
    effective,
    environment_name,
    known_keys,
    load_config,
)
from pipeline.errors import DeclarationInvalid, PipelineError
from pipeline.settings import GatewaySettings

BOOTSTRAP = ("kafka", "bootstrap_servers")


def loaded(
    folder: Path, toml: str = "", environment: Mapping[str, str] | None = None, flags: Mapping[Any, Any] | None = None
) -> Config:
    (folder / "pipeline.toml").write_text(toml)
    return load_config(folder, environment or {}, flags or {})


def refused(folder: Path, toml: str = "", environment: Mapping[str, str] | None = None) -> DeclarationInvalid:
    with pytest.raises(DeclarationInvalid) as told:
        loaded(folder, toml, environment)
    return told.value


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    config = load_config(tmp_path, {}, {})
    assert (config.settings.namespace, config.settings.gateway.host, config.settings.gateway.port) == (
        "app",
        "127.0.0.1",
        8080,
    )
    assert config.origins == {}
    assert not config.settings.webhook.allow_loopback


def test_flags_win_over_the_environment_the_environment_over_the_file_the_file_over_defaults(tmp_path: Path) -> None:
    toml = '[kafka]\nbootstrap_servers = "file:1"\nclient_id = "file"\nrequest_timeout_s = 5\n'
    environment = {"PIPELINE_BOOTSTRAP_SERVERS": "env:1", "PIPELINE_KAFKA_CLIENT_ID": "env"}
    (tmp_path / "pipeline.toml").write_text(toml)
    base: dict[Key, object] = {("kafka", "request_timeout_s"): 7.0, ("webhook", "allow_http"): True}
    config = load_config(tmp_path, environment, {BOOTSTRAP: "flag:1", ("gateway", "port"): None}, base)
    kafka = config.settings.kafka
    assert (kafka.bootstrap_servers, kafka.client_id, kafka.request_timeout_s) == ("flag:1", "env", 5.0)
    assert config.settings.webhook.allow_http
    assert config.origins == {
        BOOTSTRAP: "flag",
        ("kafka", "client_id"): "PIPELINE_KAFKA_CLIENT_ID",
        ("kafka", "request_timeout_s"): "pipeline.toml",
        ("webhook", "allow_http"): "default here",
    }


def test_every_key_has_a_variable_and_the_short_name_for_kafka_is_one_too(tmp_path: Path) -> None:
    assert environment_name(("gateway", "port")) == "PIPELINE_GATEWAY_PORT"
    assert loaded(tmp_path, environment={"PIPELINE_GATEWAY_PORT": "81"}).settings.gateway.port == 81
    assert set(ENVIRONMENT_ALIASES.values()) <= set(known_keys())
    for name in ENVIRONMENT_OTHERS:
        assert loaded(tmp_path, environment={name: "x", "HOME": "/"}).origins == {}


def test_every_section_can_be_set_in_the_file(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path, 'namespace = "shop"\n[view]\nsegment_bytes_max = 1000\n[limits]\nbatch_events_max = 3\n'
    ).settings
    assert (settings.view.segment_bytes_max, settings.limits.batch_events_max) == (1000, 3)
    assert settings.view.backlog_readers == 4
    assert (settings.namespace, settings.bridge.namespace) == ("shop", "shop")


@pytest.mark.parametrize("text", ["10.0.0.0/8, fd00::/8", '["10.0.0.0/8", "fd00::/8"]', " 10.0.0.0/8,fd00::/8, "])
def test_a_list_in_the_environment_is_comma_separated_or_json(tmp_path: Path, text: str) -> None:
    config = loaded(tmp_path, environment={"PIPELINE_WEBHOOK_ALLOW": text})
    assert config.settings.webhook.allow == ("10.0.0.0/8", "fd00::/8")


def test_tables_numbers_and_truth_come_from_the_environment_as_text(tmp_path: Path) -> None:
    environment = {
        "PIPELINE_KAFKA_SECURITY": '{"security.protocol": "SSL"}',
        "PIPELINE_BRIDGE_DRAIN_S": "1.5",
        "PIPELINE_WEBHOOK_ALLOW_HTTP": "true",
    }
    settings = loaded(tmp_path, environment=environment).settings
    assert settings.kafka.security == {"security.protocol": "SSL"}
    assert (settings.bridge.drain_s, settings.webhook.allow_http) == (1.5, True)


@pytest.mark.parametrize(
    ("toml", "key", "nearest"),
    [
        ('[kafka]\nbootstrap_server = "x"\n', "kafka.bootstrap_server", "kafka.bootstrap_servers"),
        ("[gatewai]\nport = 1\n", "gatewai", "gateway."),
        ('namespaces = "x"\n', "namespaces", "namespace"),
        ('[bridge]\nnamespace = "x"\n', "bridge.namespace", "bridge."),
        ("[view]\ndoubts = 1\n", "view.doubts", "view.doubt_s"),
    ],
)
def test_an_unknown_key_names_the_nearest_and_where_it_was_set(
    tmp_path: Path, toml: str, key: str, nearest: str
) -> None:
    error = refused(tmp_path, toml)
    assert error.field == key
    assert nearest in error.expected
    assert "pipeline.toml" in str(error)


def test_an_unknown_variable_names_the_nearest_and_not_its_text(tmp_path: Path) -> None:
    error = refused(tmp_path, environment={"PIPELINE_SECRET_KEYS": "k1:c2VjcmV0"})
    assert "PIPELINE_SECRETS_KEYS" in error.expected
    assert "c2VjcmV0" not in str(error)


@pytest.mark.parametrize(
    ("toml", "field", "expected"),
    [
        ('[gateway]\nport = "eighty"\n', "gateway.port", "int"),
        ("[gateway]\nport = 70000\n", "gateway.port", "65535"),
        ("[kafka]\nbootstrap_servers = 9092\n", "kafka.bootstrap_servers", "str"),
        ("[kafka]\nrequest_timeout_s = 0\n", "kafka.request_timeout_s", "1 to 300"),
        ("[bridge]\ndrain_s = 40\n", "bridge.drain_s", "session_timeout_s"),
        ('[bridge]\ninstance = "a.b"\n', "bridge.instance", "letters"),
        ('kafka = "x"\n', "kafka", "nearest"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_would_be_right(
    tmp_path: Path, toml: str, field: str, expected: str
) -> None:
    error = refused(tmp_path, toml)
    assert error.field == field
    assert expected in error.expected


def test_a_wrong_type_says_where_it_was_set(tmp_path: Path) -> None:
    assert "PIPELINE_GATEWAY_PORT" in str(refused(tmp_path, environment={"PIPELINE_GATEWAY_PORT": "x"}))


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path, "[kafka\n").field == str(tmp_path / "pipeline.toml")


@pytest.mark.parametrize("namespace", ["", "_own", "a b", "x" * 300])
def test_a_namespace_that_cannot_name_topics_is_refused(tmp_path: Path, namespace: str) -> None:
    with pytest.raises(PipelineError):
        loaded(tmp_path, f'namespace = "{namespace}"\n')


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_leave(host: str) -> None:
    assert GatewaySettings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "localhost.example.com", ""])  # noqa: S104 - refused here
def test_any_other_listener_is_refused_while_there_is_no_authentication(host: str) -> None:
    with pytest.raises(DeclarationInvalid, match="loopback"):
        GatewaySettings(host=host)
    assert GatewaySettings(host=host, allow_remote=True).host == host


def test_secrets_are_shown_neither_as_values_nor_in_errors(tmp_path: Path) -> None:
    toml = '[kafka.security]\n"sasl.password" = "hunter2"\n[secrets]\nkeys = ["k1:aHVudGVyMg=="]\n'
    rows = {key: (value, origin) for key, value, origin in effective(loaded(tmp_path, toml))}
    assert rows["kafka.security"] == ("(hidden)", "pipeline.toml")
    assert rows["secrets.keys"] == ("(hidden)", "pipeline.toml")
    assert rows["secrets.key_file"][1] == "default"
    assert "hunter2" not in str(refused(tmp_path, '[kafka.security]\n"sasl.password" = ["hunter2"]\n'))
    assert "hunter2" not in str(refused(tmp_path, '[secrets]\nkeys = [["hunter2"]]\n'))
    assert "hunter2" not in repr(loaded(tmp_path, toml).settings.kafka)


def test_paths_are_relative_to_the_configurations_folder(tmp_path: Path) -> None:
    assert load_config(tmp_path, {}, {}).path("topics") == tmp_path / "topics"
    assert load_config(tmp_path, {}, {}).path("/etc/topics") == Path("/etc/topics")
