"""A walk over encoded Avro that builds nothing, taken before the codec may decode it (threat S19).

The codec believes what it reads: a block count of 2^62, a list nested 5,000 deep or a length past the end cost memory
or the process. Here every count is held against the bytes that are left, nesting and values are counted, every index
and number is checked, and nothing may be left over at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from pipeline.errors import FormatUnreadable
from pipeline.format.avro_schema import Node

DEPTH_MAX = 64
VALUES_MAX = 500_000
# Values that take no bytes (nulls, empty records) are few in honest data.
_VALUES_MIN, _VALUES_PER_BYTE = 5_000, 64
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1


def scan(root: Node, body: bytes, field: str) -> bool:
    """Whether ``body`` is one value of this type; True when a float in it is not finite.

    Raises `FormatUnreadable` whose field is ``field`` + the JSON pointer of what is wrong.
    """
    walk = _Scan(body, field)
    walk.value(root)
    if walk.at != len(body):
        walk.refuse(f"{len(body) - walk.at} bytes more", "nothing after the value")
    return walk.not_finite


class _Scan:
    def __init__(self, body: bytes, field: str) -> None:
        self.at, self.not_finite = 0, False
        self._body, self._end = body, len(body)
        self._depth = 0
        self._values = self._values_max = min(VALUES_MAX, _VALUES_MIN + _VALUES_PER_BYTE * len(body))
        self._path: list[str | int] = [field]

    def value(self, node: Node) -> None:
        self._values -= 1
        if self._values < 0:
            self.refuse("…", f"at most {self._values_max} values")
        _SCANS[node.kind](self, node)

    def refuse(self, shown: str, expected: str) -> NoReturn:
        pointer = "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in self._path[1:])
        field = f"{self._path[0]}/{pointer}" if pointer else str(self._path[0])
        raise FormatUnreadable(field, shown, f"Avro: {expected}")

    def nothing(self, _: Node) -> None:
        """Null takes no bytes."""

    def boolean(self, _: Node) -> None:
        octet = self._skip(1)
        if octet[0] > 1:
            self.refuse(f"{octet[0]:02x}", "a boolean, 00 or 01")

    def whole(self, node: Node) -> None:
        number = self._long()
        if node.kind == "int" and not _INT_MIN <= number <= _INT_MAX:
            self.refuse(str(number), "an int of 32 bits")

    def single(self, _: Node) -> None:
        octets = self._skip(4)
        self.not_finite |= octets[3] & 0x7F == 0x7F and octets[2] & 0x80 == 0x80

    def double(self, _: Node) -> None:
        octets = self._skip(8)
        self.not_finite |= octets[7] & 0x7F == 0x7F and octets[6] & 0xF0 == 0xF0

    def octets(self, _: Node) -> None:
        self._skip(self._long())

    def string(self, _: Node) -> None:
        self._text()

    def fixed(self, node: Node) -> None:
        self._skip(node.size)

    def enum(self, node: Node) -> None:
        index = self._long()
        if not 0 <= index < len(node.symbols):
            self.refuse(str(index), f"a symbol of {node.name}, 0 to {len(node.symbols) - 1}")

    def union(self, node: Node) -> None:
        index = self._long()
        if not 0 <= index < len(node.branches):
            self.refuse(str(index), f"a branch, 0 to {len(node.branches) - 1}")
        self.value(node.branches[index])

    def record(self, node: Node) -> None:
        self._deeper()
        for name, field in node.fields.items():
            self._path.append(name)
            self.value(field.node)
            self._path.pop()
        self._depth -= 1

    def array(self, node: Node) -> None:
        assert node.items is not None
        self._deeper()
        number = 0
        while count := self._block(node.items.bytes_min):
            for _ in range(count):
                self._path.append(number)
                self.value(node.items)
                self._path.pop()
                number += 1
        self._depth -= 1

    def map(self, node: Node) -> None:
        assert node.items is not None
        self._deeper()
        while count := self._block(1 + node.items.bytes_min):
            for _ in range(count):
                self._path.append(self._text()[:64])
                self.value(node.items)
                self._path.pop()
        self._depth -= 1

    def _text(self) -> str:
        raw = self._skip(self._long())
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return self.refuse(repr(raw[:20]), "UTF-8 text")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self.refuse("…", f"at most {DEPTH_MAX} records, arrays and maps inside each other")

    def _block(self, bytes_min: float) -> int:
        """The number of items in the next block, 0 after the last one."""
        count = self._long()
        if count < 0:
            count = -count
            size = self._long()
            if not 0 <= size <= self._end - self.at:
                self.refuse(str(size), f"a block within the {self._end - self.at} bytes that are left")
        if count * bytes_min > self._end - self.at:
            self.refuse(f"{count} items", f"a block that fits into the {self._end - self.at} bytes that are left")
        return count

    def _long(self) -> int:
        """A zig-zag varint of at most 64 bits."""
        number = shift = 0
        for octet in self._body[self.at : self.at + 10]:
            number |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                if number >= 2**64:
                    break
                self.at += shift // 7
                return (number >> 1) ^ -(number & 1)
        return self.refuse(self._body[self.at : self.at + 10].hex() or "the end", "a number of at most 64 bits")

    def _skip(self, count: int) -> bytes:
        if not 0 <= count <= self._end - self.at:
            self.refuse(f"{count} bytes", f"a length within the {self._end - self.at} bytes that are left")
        start = self.at
        self.at += count
        return self._body[start : self.at]


_SCANS: dict[str, Callable[[_Scan, Node], None]] = {
    "null": _Scan.nothing,
    "boolean": _Scan.boolean,
    "int": _Scan.whole,
    "long": _Scan.whole,
    "float": _Scan.single,
    "double": _Scan.double,
    "bytes": _Scan.octets,
    "string": _Scan.string,
    "fixed": _Scan.fixed,
    "enum": _Scan.enum,
    "union": _Scan.union,
    "record": _Scan.record,
    "array": _Scan.array,
    "map": _Scan.map,
}
