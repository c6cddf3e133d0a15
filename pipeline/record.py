"""Position and Record: bytes on the log and where they lie."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Final, NamedTuple, TypeVar, final

import msgspec

try:
    from mypy_extensions import mypyc_attr
except ModuleNotFoundError:  # it tells the compiler something; who runs what was compiled need not have it
    T = TypeVar("T")

    def mypyc_attr(*attrs: str, **kwattrs: object) -> Callable[[T], T]:
        return lambda thing: thing


Headers = tuple[tuple[str, bytes | None], ...]


class Position(NamedTuple):
    """One place on the log; ``offset`` is the record's own, not the next one."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@final
@mypyc_attr(acyclic=True)
class Record:
    """One record as it lies on the log; every byte is kept as it came. Frozen; equal to one with the same fields.

    ``value is None`` is a tombstone, ``b""`` an empty value. ``timestamp_ms`` is Kafka's
    (create or append time, as the topic is configured) and says nothing about order.
    """

    def __init__(  # noqa: PLR0917 - a record's fields, made by the ten thousand a second: names at the call cost time
        self,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> None:
        self.topic: Final = topic
        self.partition: Final = partition
        self.offset: Final = offset
        self.timestamp_ms: Final = timestamp_ms
        self.key: Final = key
        self.value: Final = value
        self.headers: Final = headers

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)

    @property
    def size_bytes(self) -> int:
        """Payload bytes held in memory for it: key and value (headers are not counted)."""
        return len(self.key or b"") + len(self.value or b"")

    def header(self, name: str) -> bytes | None:
        """The last header called ``name`` (Kafka allows several; the last one counts), or None."""
        for key, value in reversed(self.headers):
            if key == name:
                return value
        return None

    def holding(self, key: bytes | None, value: bytes | None, headers: Headers) -> Record:
        """The record with other content, at the same place."""
        return Record(self.topic, self.partition, self.offset, self.timestamp_ms, key, value, headers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and _fields(self) == _fields(other)

    def __hash__(self) -> int:
        return hash(_fields(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(FIELDS, _fields(self), strict=True))
        return f"Record({shown})"


FIELDS = ("topic", "partition", "offset", "timestamp_ms", "key", "value", "headers")


def _fields(record: Record) -> tuple[object, ...]:
    return (
        record.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        record.key,
        record.value,
        record.headers,
    )


def _struct() -> type:
    """The same class as a C struct of msgspec's: made in a third of the time an interpreted one takes, unknown to the
    collector of cycles, and frozen. Compiled, it is all that by itself, and its fields are read without a call.
    """
    fields: list[tuple[str, type] | tuple[str, type, object]] = [(name, object) for name in FIELDS[:-1]]
    fields.append((FIELDS[-1], object, ()))
    verbs = {name: vars(Record)[name] for name in ("__doc__", "header", "holding", "position", "size_bytes")}
    return msgspec.defstruct("Record", fields, namespace=verbs, module=__name__, frozen=True, gc=False)


if isinstance(Record.header, FunctionType):  # not compiled
    globals()["Record"] = _struct()
