"""The requests spoken here and their answers; nothing is sent in this file.

Versions are the newest in the classic encoding, which every broker from 2.3 to 4.x knows (KIP-896 keeps them).
Source: Kafka protocol guide, ``common/message/*.json`` of Apache Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pipeline.kafka.wire.primitives import Reader, array, int8, int16, int32, int64, octets, string

Partition = tuple[str, int]

_NO_GENERATION = int32(-1)
_NO_EPOCH = int32(-1)
_GROUP_KEY = int8(0)


class Request(NamedTuple):
    api: int
    version: int
    body: bytes

    def framed(self, correlation: int, client_id: str) -> bytes:
        """With size and request header version 1."""
        head = int16(self.api) + int16(self.version) + int32(correlation) + string(client_id)
        return int32(len(head) + len(self.body)) + head + self.body


class Coordinator(NamedTuple):
    error: int
    host: str
    port: int


class Fetched(NamedTuple):
    """``offset`` -1: nothing is committed."""

    error: int
    offset: int
    metadata: str | None


def find_coordinator(group: str) -> Request:
    return Request(10, 2, string(group) + _GROUP_KEY)


def found_coordinator(raw: bytes) -> Coordinator:
    answer = Reader(raw)
    answer.int32()  # throttle time
    error = answer.int16()
    answer.string()  # error message
    answer.int32()  # node id
    return Coordinator(error, answer.string() or "", answer.int32())


def offset_commit(group: str, offsets: Mapping[Partition, tuple[int, str | None]]) -> Request:
    """A commit from outside the group: no generation, no member. Refused while the group has members."""
    topics: dict[str, list[bytes]] = {}
    for (topic, partition), (offset, metadata) in offsets.items():
        entry = int32(partition) + int64(offset) + _NO_EPOCH + string(metadata)
        topics.setdefault(topic, []).append(entry)
    body = array(string(topic) + array(entries) for topic, entries in topics.items())
    return Request(8, 7, string(group) + _NO_GENERATION + string("") + string(None) + body)


def committed_offsets(raw: bytes) -> dict[Partition, int]:
    """Partition → error code."""
    answer = Reader(raw)
    answer.int32()  # throttle time

    def topic() -> tuple[str, list[tuple[int, int]]]:
        return answer.string() or "", answer.array(lambda: (answer.int32(), answer.int16()))

    return {(name, partition): error for name, entries in answer.array(topic) for partition, error in entries}


def offset_fetch(group: str, partitions: Iterable[Partition]) -> Request:
    topics: dict[str, list[bytes]] = {}
    for topic, partition in partitions:
        topics.setdefault(topic, []).append(int32(partition))
    return Request(9, 5, string(group) + array(string(topic) + array(numbers) for topic, numbers in topics.items()))


def fetched_offsets(raw: bytes) -> tuple[int, dict[Partition, Fetched]]:
    """The group's error code, and what is committed per partition."""
    answer = Reader(raw)
    answer.int32()  # throttle time

    def entry() -> tuple[int, Fetched]:
        partition, offset = answer.int32(), answer.int64()
        answer.int32()  # leader epoch
        metadata = answer.string()
        return partition, Fetched(answer.int16(), offset, metadata)

    def topic() -> tuple[str, list[tuple[int, Fetched]]]:
        return answer.string() or "", answer.array(entry)

    found = {(name, partition): fetched for name, entries in answer.array(topic) for partition, fetched in entries}
    return answer.int16(), found


def sasl_handshake(mechanism: str) -> Request:
    return Request(17, 1, string(mechanism))


def sasl_mechanisms(raw: bytes) -> tuple[int, list[str]]:
    """Error code, and the mechanisms the broker offers."""
    answer = Reader(raw)
    error = answer.int16()
    return error, [name or "" for name in answer.array(answer.string)]


def sasl_authenticate(token: bytes) -> Request:
    return Request(36, 0, octets(token))


def sasl_answer(raw: bytes) -> tuple[int, str, bytes]:
    """Error code, its text, and the broker's token."""
    answer = Reader(raw)
    error, text = answer.int16(), answer.string() or ""
    return error, text, answer.octets()
