"""Kafka's basic types, as its classic (not "flexible") encodings write them. Source: Kafka protocol guide, Types."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import TypeVar

from pipeline.errors import FormatUnreadable

T = TypeVar("T")

_INT8 = struct.Struct(">b")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")


def int8(value: int) -> bytes:
    return _INT8.pack(value)


def int16(value: int) -> bytes:
    return _INT16.pack(value)


def int32(value: int) -> bytes:
    return _INT32.pack(value)


def int64(value: int) -> bytes:
    return _INT64.pack(value)


def string(text: str | None) -> bytes:
    """STRING or NULLABLE_STRING: length in bytes, then UTF-8."""
    if text is None:
        return b"\xff\xff"
    raw = text.encode()
    return _INT16.pack(len(raw)) + raw


def octets(raw: bytes) -> bytes:
    """BYTES: length, then the bytes."""
    return _INT32.pack(len(raw)) + raw


def array(items: Iterable[bytes]) -> bytes:
    """ARRAY of what is encoded already."""
    encoded = list(items)
    return _INT32.pack(len(encoded)) + b"".join(encoded)


class Reader:
    """Takes one value after the other off an answer; raises `FormatUnreadable` where it ends too early."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def int16(self) -> int:
        value: int = self._unpacked(_INT16)
        return value

    def int32(self) -> int:
        value: int = self._unpacked(_INT32)
        return value

    def int64(self) -> int:
        value: int = self._unpacked(_INT64)
        return value

    def string(self) -> str | None:
        """Bytes that are no UTF-8 come as U+FFFD: another client may have written anything."""
        length = self.int16()
        return None if length < 0 else self._taken(length).decode(errors="replace")

    def octets(self) -> bytes:
        return self._taken(max(0, self.int32()))

    def array(self, item: Callable[[], T]) -> list[T]:
        # An item takes a byte at least, so a count beyond what is left is no count.
        count = self.int32()
        if count > len(self._raw) - self._at:
            raise FormatUnreadable("answer", f"an array of {count}", f"at most {len(self._raw) - self._at} items")
        return [item() for _ in range(count)]

    def _unpacked(self, kind: struct.Struct) -> int:
        try:
            value: int = kind.unpack_from(self._raw, self._at)[0]
        except struct.error:
            raise FormatUnreadable("answer", f"{len(self._raw)} bytes", f"more than {self._at}") from None
        self._at += kind.size
        return value

    def _taken(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._raw):
            raise FormatUnreadable("answer", f"{len(self._raw)} bytes", f"at least {end}")
        taken = self._raw[self._at : end]
        self._at = end
        return taken
