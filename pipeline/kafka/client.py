"""What every Kafka client of ours is told, and how its errors are named.

Rules that hold for all of them: librdkafka's own log lines are off (what it has to say arrives by ``error_cb``, so
nothing is lost and nothing bypasses our logs); auto-commit is off and a missing offset is an error, never a guess;
``client.id`` is role + instance, so a broker's logs and quotas tell our parts apart.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import (
    BrokerUnavailable,
    Conflict,
    DeclarationInvalid,
    GroupActive,
    LogError,
    PayloadTooLarge,
    PipelineError,
    TopicNotFound,
)

ClientConf: TypeAlias = "dict[str, str | int | float | bool]"

SECURITY_PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

# Threat S27: only what names credentials and trust, and what connections of our own (wire/) understand, too. Left out
# on purpose because they run code, load libraries or fetch from an address: sasl.kerberos.kinit.cmd, ssl.engine.*,
# ssl.providers, plugin.library.paths, sasl.oauthbearer.* (CVE-2023-25194, CVE-2025-27817 show what such settings become
# when a form reaches them).
SECURITY_KEYS = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.crl.location",
        "ssl.cipher.suites",
        "ssl.endpoint.identification.algorithm",
    }
)


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the cluster.

    ``security`` holds librdkafka properties of `SECURITY_KEYS`. ``request_timeout_s`` bounds every answer: an
    append, a commit or an admin call that the cluster has not settled by then fails with `BrokerUnavailable`.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    client_id: str = "pipeline"
    security: dict[str, str] = msgspec.field(default_factory=dict)
    request_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.bootstrap_servers.strip():
            raise DeclarationInvalid("kafka.bootstrap_servers", self.bootstrap_servers, "host:port, comma separated")
        if not 1 <= self.request_timeout_s <= 300:
            raise DeclarationInvalid("kafka.request_timeout_s", self.request_timeout_s, "1 to 300 seconds")
        for key in self.security:
            if key not in SECURITY_KEYS:
                raise DeclarationInvalid(f"kafka.security.{key}", "…", "one of " + ", ".join(sorted(SECURITY_KEYS)))
        # Both below: what librdkafka reads otherwise than we do would be a login that nobody checked.
        if (protocol := self.security.get("security.protocol", "plaintext")).lower() not in SECURITY_PROTOCOLS:
            expected = "one of " + ", ".join(SECURITY_PROTOCOLS)
            raise DeclarationInvalid("kafka.security.security.protocol", protocol, expected)
        if {"sasl.mechanism", "sasl.mechanisms"} <= self.security.keys():
            raise DeclarationInvalid("kafka.security.sasl.mechanisms", "…", "nothing beside sasl.mechanism")
        if self.sasl_mechanism not in (None, *SASL_MECHANISMS):
            expected = "one of " + ", ".join(SASL_MECHANISMS)
            raise DeclarationInvalid("kafka.security.sasl.mechanism", self.sasl_mechanism, expected)

    @property
    def sasl_mechanism(self) -> str | None:
        """How to log in, None for not at all."""
        if not self.security.get("security.protocol", "plaintext").lower().startswith("sasl"):
            return None
        return self.security.get("sasl.mechanisms", self.security.get("sasl.mechanism", ""))

    def __repr__(self) -> str:
        """Names only: passwords and keys stay out of logs and tracebacks."""
        return (
            f"KafkaSettings(bootstrap_servers={self.bootstrap_servers!r}, client_id={self.client_id!r}, "
            f"security={sorted(self.security)}, request_timeout_s={self.request_timeout_s})"
        )


def client_conf(settings: KafkaSettings, role: str) -> ClientConf:
    """librdkafka properties of every client; ``role`` (``producer``, ``tail`` …) becomes part of ``client.id``."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": f"{settings.client_id}-{role}",
        "log_level": 0,
        "socket.nagle.disable": True,
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 50,
        # A broker that comes back is found again within this, however long it was away.
        "reconnect.backoff.max.ms": 2000,
        **settings.security,
    }


_UNAVAILABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError._DESTROY,
        # The client let go of a broker that moved or left while a request to it was under way.
        KafkaError._DESTROY_BROKER,
        KafkaError._FATAL,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
        KafkaError._RESOLVE,
        KafkaError._SSL,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
NO_TOPIC = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
_MEMBERS = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.NON_EMPTY_GROUP})


def kafka_error(error: KafkaError | KafkaException) -> KafkaError:
    """The `KafkaError` inside what confluent-kafka raised."""
    inner = error.args[0] if isinstance(error, KafkaException) else error
    return inner if isinstance(inner, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def translated(
    error: KafkaError | KafkaException, doing: str, *, topic: str = "", refused: type[LogError] = LogError
) -> PipelineError:
    """The error of our tree for what Kafka said while ``doing`` ("append to orders"); never raises.

    ``refused`` is the type for an answer that trying again will not change (authorization, policy, …).
    """
    inner = kafka_error(error)
    code = inner.code()
    text = f"{doing}: {inner.name()}: {inner.str()}"
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return PayloadTooLarge("data", topic, "a record within message_bytes_max and the topic's max.message.bytes")
    if code in NO_TOPIC:
        return TopicNotFound(topic or doing, inner.str())
    if code in _MEMBERS:
        return GroupActive(f"{doing}: the group has active members; stop them first ({inner.name()})")
    if code == KafkaError.TOPIC_ALREADY_EXISTS:
        return Conflict(f"{doing}: it exists already")
    if code in _UNAVAILABLE or inner.retriable() or inner.fatal():
        return BrokerUnavailable(text)
    return refused(text)
