"""Cursor: the next offset of every partition of one topic, and its token, the opaque text that readers hold.

Token: ``v1.`` + base64url( first 4 bytes of the topic id | n | n × (partition, next offset) ), without padding, numbers
as unsigned LEB128 varints. It is canonical: partitions ascend, every number has its shortest form and nothing follows,
so equal cursors have equal tokens and tokens may be compared as text. A partition that is not named starts at its
earliest.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

import msgspec

from pipeline.errors import CursorMalformed, DeclarationInvalid
from pipeline.names import topic_id_bytes

PARTITIONS_MAX = 10_000
PARTITION_MAX = 2**31 - 1
OFFSET_MAX = 2**63 - 1
_VERSION = "v1."
_PREFIX_BYTES = 4
_VARINT_BYTES_MAX = 9  # 63 bits
_BYTES_MAX = _PREFIX_BYTES + 2 + PARTITIONS_MAX * (5 + _VARINT_BYTES_MAX)
TOKEN_CHARACTERS_MAX = len(_VERSION) + (_BYTES_MAX * 4 + 2) // 3
_EXPECTED = "earliest, latest, time:<RFC 3339> or a cursor this service gave out, unchanged"


class CursorToken(msgspec.Struct, frozen=True):
    """What a token says. Whether it fits a topic is for `fits`: a topic deleted and made again has another id."""

    topic_prefix: bytes
    next_offsets: Mapping[int, int]

    def fits(self, topic_id: str) -> bool:
        return topic_prefix(topic_id) == self.topic_prefix


class Cursor(msgspec.Struct, frozen=True):
    """The next offset to read in each partition of the topic with this id (Kafka's 22 characters).

    Raises `CursorMalformed` when a partition or an offset is out of Kafka's range.
    """

    topic_id: str
    next_offsets: Mapping[int, int]

    def __post_init__(self) -> None:
        topic_prefix(self.topic_id)
        _check(self.next_offsets)
        msgspec.structs.force_setattr(self, "next_offsets", MappingProxyType(dict(sorted(self.next_offsets.items()))))

    def token(self) -> str:
        """The text form: about 9 characters a partition."""
        packed = bytearray(topic_prefix(self.topic_id))
        _append_varint(packed, len(self.next_offsets))
        for partition, offset in self.next_offsets.items():
            _append_varint(packed, partition)
            _append_varint(packed, offset)
        return _VERSION + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    @staticmethod
    def parse(token: str) -> CursorToken:
        """What ``token`` says; anything that `token` would not have written raises `CursorMalformed`."""
        if not token.startswith(_VERSION) or len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
            raise CursorMalformed("cursor", token, _EXPECTED)
        packed = _unbase64(token)
        numbers = _varints(packed[_PREFIX_BYTES:], token)
        count = next(numbers, None)
        rest = list(numbers)
        if count is None or len(rest) != 2 * count:
            raise CursorMalformed("cursor", token, _EXPECTED)
        partitions, offsets = rest[::2], rest[1::2]
        if any(left >= right for left, right in pairwise(partitions)):
            raise CursorMalformed("cursor", token, _EXPECTED)
        next_offsets = dict(zip(partitions, offsets, strict=True))
        _check(next_offsets)
        return CursorToken(packed[:_PREFIX_BYTES], MappingProxyType(next_offsets))


def topic_prefix(topic_id: str) -> bytes:
    """The four bytes of a topic's id that a token carries. Raises `CursorMalformed`."""
    try:
        return topic_id_bytes(topic_id)[:_PREFIX_BYTES]
    except DeclarationInvalid as error:
        raise CursorMalformed("topic id", topic_id, error.expected) from None


def _check(next_offsets: Mapping[int, int]) -> None:
    if len(next_offsets) > PARTITIONS_MAX:
        raise CursorMalformed("cursor", f"{len(next_offsets)} partitions", f"at most {PARTITIONS_MAX} partitions")
    for partition, offset in next_offsets.items():
        if not 0 <= partition <= PARTITION_MAX or not 0 <= offset <= OFFSET_MAX:
            raise CursorMalformed("cursor", f"{partition}:{offset}", "partitions of 31 bits and offsets of 63 bits")


def _unbase64(token: str) -> bytes:
    text = token[len(_VERSION) :]
    if "=" in text or "+" in text or "/" in text:
        raise CursorMalformed("cursor", token, _EXPECTED)
    try:
        packed = binascii.a2b_base64(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise CursorMalformed("cursor", token, _EXPECTED) from None
    # Unused low bits of the last character are not checked by the decoder; two texts would mean one cursor.
    if base64.urlsafe_b64encode(packed).rstrip(b"=").decode() != text:
        raise CursorMalformed("cursor", token, _EXPECTED)
    return packed


_TO_STANDARD = str.maketrans("-_", "+/")


def _append_varint(packed: bytearray, number: int) -> None:
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def _varints(packed: bytes, token: str) -> Iterator[int]:
    number = length = 0
    for byte in packed:
        number |= (byte & 0x7F) << 7 * length
        length += 1
        if byte & 0x80:
            if length == _VARINT_BYTES_MAX:
                raise CursorMalformed("cursor", token, _EXPECTED)
            continue
        if byte == 0 and length > 1:
            raise CursorMalformed("cursor", token, _EXPECTED)
        yield number
        number = length = 0
    if length:
        raise CursorMalformed("cursor", token, _EXPECTED)
