"""Settings that check themselves, and the names Kafka's errors get."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.errors import (
    AppendFailed,
    BrokerUnavailable,
    Conflict,
    DeclarationInvalid,
    GroupActive,
    LogError,
    PayloadTooLarge,
    TopicNotFound,
)
from pipeline.kafka.client import SECURITY_KEYS, KafkaSettings, client_conf, kafka_error, translated


def test_settings_never_show_a_password() -> None:
    settings = KafkaSettings(security={"sasl.password": "hunter2", "security.protocol": "ssl"})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in f"{settings}"
    assert "sasl.password" in repr(settings)


@pytest.mark.parametrize(
    "key",
    [
        "sasl.jaas.config",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.oauthbearer.config",
        "sasl.kerberos.kinit.cmd",
        "ssl.engine.location",
        "ssl.providers",
        "ssl.keystore.location",
        "ssl.key.pem",
        "enable.ssl.certificate.verification",
        "plugin.library.paths",
        "bootstrap.servers",
        "debug",
    ],
)
def test_a_security_property_that_could_run_code_or_reach_out_is_refused(key: str) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        KafkaSettings(security={key: "hunter2"})
    assert caught.value.field == f"kafka.security.{key}"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "GSSAPI", "OAUTHBEARER", "plain"])
def test_a_login_we_cannot_speak_is_refused(name: str) -> None:
    with pytest.raises(DeclarationInvalid, match="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"):
        KafkaSettings(security={"security.protocol": "SASL_SSL", "sasl.mechanism": name})


def test_without_sasl_there_is_no_login() -> None:
    assert KafkaSettings(security={"security.protocol": "ssl", "sasl.mechanism": "PLAIN"}).sasl_mechanism is None


def test_every_allowed_property_is_one_that_the_client_knows() -> None:
    for key in SECURITY_KEYS - {"security.protocol", "sasl.mechanism", "sasl.mechanisms"}:
        if ".pem" in key or "location" in key or "list" in key or "suites" in key or "algorithm" in key:
            continue
        AdminClient({"bootstrap.servers": "127.0.0.1:1", key: "x", "log_level": 0})


@pytest.mark.parametrize(
    "values", [{"bootstrap_servers": " "}, {"request_timeout_s": 0.1}, {"request_timeout_s": 301.0}]
)
def test_settings_out_of_bounds_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(DeclarationInvalid):
        KafkaSettings(**values)  # type: ignore[arg-type]  # wrong on purpose


def test_the_client_id_says_which_part_it_is() -> None:
    conf = client_conf(KafkaSettings(client_id="shop-1", security={"security.protocol": "ssl"}), "tail")
    assert (conf["client.id"], conf["security.protocol"]) == ("shop-1-tail", "ssl")


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, PayloadTooLarge),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TopicNotFound),
        (KafkaError._UNKNOWN_TOPIC, TopicNotFound),
        (KafkaError.UNKNOWN_TOPIC_ID, TopicNotFound),
        (KafkaError.UNKNOWN_MEMBER_ID, GroupActive),
        (KafkaError.NON_EMPTY_GROUP, GroupActive),
        (KafkaError.TOPIC_ALREADY_EXISTS, Conflict),
        (KafkaError._MSG_TIMED_OUT, BrokerUnavailable),
        (KafkaError._ALL_BROKERS_DOWN, BrokerUnavailable),
        (KafkaError._PURGE_INFLIGHT, BrokerUnavailable),
        (KafkaError._DESTROY_BROKER, BrokerUnavailable),
        (KafkaError.NOT_ENOUGH_REPLICAS, BrokerUnavailable),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, BrokerUnavailable),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, AppendFailed),
        (KafkaError.INVALID_RECORD, AppendFailed),
        (KafkaError.POLICY_VIOLATION, AppendFailed),
    ],
)
def test_each_kafka_error_has_a_name_of_ours(code: int, named: type[Exception]) -> None:
    error = translated(KafkaException(KafkaError(code)), "append to t", topic="t", refused=AppendFailed)
    assert type(error) is named


def test_what_kafka_refuses_is_a_log_error_that_says_what_was_being_done() -> None:
    error = translated(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "describe orders")
    assert type(error) is LogError
    assert str(error).startswith("describe orders: TOPIC_AUTHORIZATION_FAILED")
    assert not error.retryable


def test_a_fatal_error_is_worth_another_try_with_a_new_client() -> None:
    assert translated(KafkaError(KafkaError._FATAL, "lost", True), "append").retryable


def test_an_exception_without_a_kafka_error_inside_still_translates() -> None:
    assert kafka_error(KafkaException("odd")).code() == KafkaError._FAIL
