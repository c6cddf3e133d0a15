"""What is finished above a watermark: ranges of offsets, and their compact text form.

A range is ``(first, until)``, ``until`` exclusive. Offsets that never held a record may lie inside a range:
they are below the last stable offset, so nothing can appear there any more.

Text form: base64url without padding of unsigned LEB128 varints, per range the distance from the end of
the one before (from ``base`` for the first) and the length. Losing a range costs a second delivery, never a
loss, so a text over its limit drops ranges from the end.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from pipeline.errors import FormatUnreadable

Range = tuple[int, int]
_VARINT_BYTES_MAX = 10


class AckMap:
    """An immutable set of offsets kept as ascending, disjoint, non-touching ranges."""

    __slots__ = ("_firsts", "ranges")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        merged: list[Range] = []
        for first, until in ranges:
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
            elif until > first:
                merged.append((first, until))
        self.ranges: tuple[Range, ...] = tuple(merged)
        self._firsts = [first for first, _ in merged]

    def __contains__(self, offset: int) -> bool:
        index = bisect_right(self._firsts, offset) - 1
        return index >= 0 and offset < self.ranges[index][1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AckMap) and self.ranges == other.ranges

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __repr__(self) -> str:
        return f"AckMap({list(self.ranges)})"

    def above(self, offset: int) -> AckMap:
        """The part at or above ``offset``."""
        return AckMap((max(first, offset), until) for first, until in self.ranges if until > offset)

    def encode(self, base: int, characters_max: int) -> str:
        """The text form relative to ``base`` (≤ every range), of whole ranges that fit ``characters_max``."""
        return urlsafe_b64encode(self.encode_bytes(base, characters_max * 3 // 4)).rstrip(b"=").decode()

    def encode_bytes(self, base: int, bytes_max: int) -> bytes:
        """The varints of the text form, of whole ranges that fit ``bytes_max``."""
        body = bytearray()
        end = base
        for first, until in self.ranges:
            distance, length = first - end, until - first
            # Most fit one byte each, and this is done for every range at every commit.
            small = 0 <= distance < 0x80 and length < 0x80
            piece = bytes((distance, length)) if small else encode_varint(distance) + encode_varint(length)
            if len(body) + len(piece) > bytes_max:
                break
            body += piece
            end = until
        return bytes(body)

    def joined(self, other: AckMap) -> AckMap:
        """What is in either."""
        return AckMap(sorted((*self.ranges, *other.ranges))) if other else self


def decode_ackmap(text: str, base: int) -> AckMap:
    """The map `AckMap.encode` wrote; raises `FormatUnreadable`."""
    return ackmap_of(decode_varints(text), base)


def ackmap_of(numbers: Sequence[int], base: int) -> AckMap:
    """The map of pairs of distance and length; raises `FormatUnreadable`."""
    if len(numbers) % 2:
        raise FormatUnreadable("ack map", f"{len(numbers)} numbers", "pairs of distance and length")
    ranges: list[Range] = []
    end = base
    for distance, length in zip(numbers[::2], numbers[1::2], strict=True):
        first, end = end + distance, end + distance + length
        ranges.append((first, end))
    return AckMap(ranges)


def finished_between(unfinished: Iterable[int], first: int, until: int) -> Iterator[Range]:
    """The ranges of ``[first, until)`` that hold none of the ascending ``unfinished`` offsets."""
    for offset in unfinished:
        if offset > first:
            yield (first, offset)
        first = offset + 1
    if first < until:
        yield (first, until)


def encode_varint(number: int) -> bytes:
    """``number`` ≥ 0 as unsigned LEB128."""
    if number < 0:
        raise ValueError(f"{number} is negative")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_varints(text: str) -> list[int]:
    """Every varint of a base64url text without padding; raises `FormatUnreadable`."""
    try:
        body = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise FormatUnreadable("varints", text, "base64url without padding") from None
    return decode_varint_bytes(body)


def decode_varint_bytes(body: bytes) -> list[int]:
    """Every varint of ``body``; raises `FormatUnreadable`."""
    numbers: list[int] = []
    number = shift = 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
        elif shift >= 7 * _VARINT_BYTES_MAX:
            raise FormatUnreadable("varints", body, "varints of at most 10 bytes")
    if shift:
        raise FormatUnreadable("varints", body, "a last varint that ends")
    return numbers
