"""What one embedded broker is told, and the KRaft properties that follow from it."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pipeline.errors import DeclarationInvalid

HEAP_MB_MIN = 128
NAME_PLAIN = frozenset(string.ascii_letters + string.digits + "._-")
VALUE_PLAIN = frozenset(string.printable) - frozenset("\\\t\n\r\v\f")
PORT_MAX = 65535

# These hold the node together; a broker with another identity, place or role is not this one.
OWNED = frozenset({"process.roles", "node.id", "controller.quorum.voters", "controller.listener.names", "listeners",
                   "log.dirs", "log.dir"})  # fmt: skip

# One node: every internal topic has one replica, and few partitions, since each costs files and start-up time.
# Groups settle at once and may have short sessions, the cleaner and retention look often: nobody waits for a laptop's
# broker. The empty metadata records a controller writes twice a second are useless without followers.
ONE_NODE: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # Everybody is allowed everything, but there is an authorizer, so that ACLs can be made, listed and tried.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "2",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.recovery.threads.per.data.dir": "1",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.cleaner.backoff.ms": "2000",
    "log.retention.check.interval.ms": "10000",
    "log.initial.task.delay.ms": "2000",
    "metadata.max.idle.interval.ms": "0",
}


# What a cluster has otherwise: three replicas of everything, two of which an append waits for; followers keep pace.
THREE_NODES: Mapping[str, str] = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "metadata.max.idle.interval.ms": "500",
    # A broker that was killed is missed soon, and a restarted one is led back to its partitions soon.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "leader.imbalance.check.interval.seconds": "5",
}


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a cluster of three. ``voters`` lists all controllers as Kafka wants them: ``1@host:port,…``."""

    node_id: int
    controller_port: int
    voters: str
    cluster_id: str


class EmbeddedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One broker. ``port`` 0 takes a free one; ``fast`` starts sooner and computes slower (C1 compiler only).

    ``properties`` are Kafka broker settings that win over ours, except those that make the node what it is.
    ``stop_timeout_s``: how long a SIGTERM may take before SIGKILL. ``member``: which node of a cluster it is, if any.
    """

    data_dir: Path
    port: int = 9092
    heap_mb: int = 512
    fast: bool = True
    properties: Mapping[str, str] = {}
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 15.0
    member: Member | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= PORT_MAX:
            raise DeclarationInvalid("embedded.port", self.port, f"0 (any free port) to {PORT_MAX}")
        if self.heap_mb < HEAP_MB_MIN:
            raise DeclarationInvalid("embedded.heap_mb", self.heap_mb, f"at least {HEAP_MB_MIN}")
        if "," in str(self.data_dir):
            raise DeclarationInvalid(
                "embedded.data_dir", str(self.data_dir), "a path without a comma: Kafka splits there"
            )
        for name in sorted(OWNED.intersection(self.properties)):
            raise DeclarationInvalid(f"embedded.properties.{name}", self.properties[name], "left out: it is set here")


def server_properties(settings: EmbeddedSettings, port: int, controller_port: int) -> dict[str, str]:
    """The broker's whole configuration for these two ports on the loopback address; a cluster's member has its own
    controller port.
    """
    member = settings.member
    if member is not None:
        controller_port = member.controller_port
    return {
        **ONE_NODE,
        **({} if member is None else {**THREE_NODES, "node.id": str(member.node_id)}),
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}" if member is None else member.voters,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": str(settings.data_dir / "logs"),
        **settings.properties,
    }


def properties_text(properties: Mapping[str, str]) -> str:
    """Text that ``java.util.Properties.load`` reads back as these names and values."""
    return "".join(f"{_escaped(name, NAME_PLAIN)}={_value(text)}\n" for name, text in properties.items())


def _value(text: str) -> str:
    """Only leading blanks would be lost; inside a value they are plain."""
    blanks = len(text) - len(text.lstrip(" "))
    return _escaped(text[:blanks], NAME_PLAIN) + _escaped(text[blanks:], VALUE_PLAIN)


def _escaped(text: str, plain: frozenset[str]) -> str:
    r"""Anything that could mean something is written as \uXXXX, one per UTF-16 unit."""
    utf16 = text.encode("utf-16-be")
    characters = (chr(int.from_bytes(utf16[at : at + 2], "big")) for at in range(0, len(utf16), 2))
    return "".join(c if c in plain else f"\\u{ord(c):04x}" for c in characters)
