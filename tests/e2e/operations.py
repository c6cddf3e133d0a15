"""What operators and producers do in the end-to-end tests of the bridge, and what they wait for."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message, Producer, TopicPartition

from pipeline.wiring import Node
from tests.e2e.rig import Rig, until
from tests.sink import Sink

TOOL_SETTINGS = ("--timeout", "20000")
QUICK = {"schedule_s": [0.05, 0.05, 0.05]}


async def subscribe(node: Node, topic: str, sink: Sink, name: str = "hook", **declared: Any) -> str:
    """Its secret."""
    declared = {"topics": [topic], "start": "earliest", "endpoint": {"url": sink.url}, "retry": QUICK, **declared}
    return (await node.subscriptions.put(name, declared)).shown.secret or ""


def produce(
    rig: Rig, topic: str, value: bytes | None, key: bytes | None, headers: dict[str, bytes] | None = None
) -> None:
    producer = Producer({"bootstrap.servers": rig.servers, "partitioner": "murmur2_random"})
    producer.produce(topic, value, key, headers=list((headers or {}).items()))
    assert producer.flush(20) == 0


def letters(rig: Rig, name: str = "hook") -> list[Message]:
    return rig.records(f"{rig.namespace}.{name}.dlq")


def header(message: Message, name: str) -> str:
    value = dict(message.headers() or [])[name]
    assert isinstance(value, bytes)
    return value.decode()


async def until_lag_0(node: Node, name: str = "hook", timeout_s: float = 15) -> None:
    async def no_lag() -> bool:
        return all(part.lag == 0 for part in (await node.subscriptions.status(name)).partitions)

    await until(no_lag, timeout_s, "lag 0")


async def until_state(node: Node, state: str, name: str = "hook", timeout_s: float = 15) -> str:
    """Wait for the subscription's state; the reason that is given for it."""

    async def has() -> bool:
        return node.subscriptions.get(name)[0].state == state

    await until(has, timeout_s, f"{name} is {state}")
    return node.subscriptions.get(name)[0].reason


def group(rig: Rig) -> str:
    """The consumer group of the subscription that most tests make."""
    return f"{rig.namespace}.hook"


async def reset(rig: Rig, topic: str, *where: str) -> None:
    words = ("--group", group(rig), "--reset-offsets", "--topic", topic, *where, "--execute", *TOOL_SETTINGS)
    printed = await rig.tool("consumer-groups", *words)
    assert "Error" not in printed, printed


async def delete_offsets(rig: Rig, topic: str) -> None:
    words = ("--group", group(rig), "--delete-offsets", "--topic", topic, *TOOL_SETTINGS)
    assert "Successful" in await rig.tool("consumer-groups", *words)


def delete_records(rig: Rig, topic: str, partition: int, before: int) -> None:
    place = TopicPartition(topic, partition, before)
    admin = rig.admin
    admin.delete_records([place])[place].result(20)
