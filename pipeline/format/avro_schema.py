"""An Avro schema, read and checked before anything is decoded with it.

A schema comes from people we do not know, and with some of them a few bytes of data blow a decoder up: arrays of items
that take no bytes, records that hold themselves, default values that double at every level. Those are refused here
(threat S19), along with everything the specification forbids. What passes becomes a graph of `Node`, which both sides
walk, and a plain schema for the codec, in which every named type has a name of its own.

Source: Apache Avro 1.12 specification, Schema Declaration and Names. Logical types are carried as the types under them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from pipeline.errors import DeclarationInvalid, FormatUnreadable
from pipeline.format.json_codec import check_json

SCHEMA_BYTES_MAX = 2**20
SCHEMA_NODES_MAX = 5_000
SCHEMA_DEPTH_MAX = 64
FIXED_BYTES_MAX = 2**24
PRIMITIVES = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ENDLESS = float("inf")
_PASSES_MAX = 100


class Field(NamedTuple):
    name: str
    node: Node
    has_default: bool
    default: object


class Node:
    """One type. ``name`` is what people say, ``plain`` what the codec says, ``bytes_min`` its shortest encoding."""

    __slots__ = ("branches", "bytes_min", "fields", "items", "kind", "name", "plain", "pointer", "size", "symbols")

    def __init__(self, kind: str, name: str, pointer: str) -> None:
        self.kind, self.name, self.pointer = kind, name, pointer
        self.plain = kind
        self.bytes_min: float = PRIMITIVES.get(kind, _ENDLESS)
        self.fields: dict[str, Field] = {}
        self.items: Node | None = None
        self.branches: list[Node] = []
        self.symbols: frozenset[str] = frozenset()
        self.size = 0

    def shortest(self) -> float:
        """The bytes its shortest value takes, by what is known of the types in it."""
        if self.kind == "record":
            return sum(field.node.bytes_min for field in self.fields.values())
        if self.kind == "union":
            return 1 + min(branch.bytes_min for branch in self.branches)
        return self.bytes_min


class ReadSchema(NamedTuple):
    root: Node
    plain: Any


def read_schema(schema_json: str) -> ReadSchema:
    """The schema as a graph and as the codec is to see it. `DeclarationInvalid` names the place in the schema."""
    raw = schema_json.encode(errors="surrogatepass")
    if len(raw) > SCHEMA_BYTES_MAX:
        raise DeclarationInvalid("schema", f"{len(raw)} bytes", f"at most {SCHEMA_BYTES_MAX} bytes")
    try:
        declared = check_json(raw, "schema", depth_max=SCHEMA_DEPTH_MAX)
    except FormatUnreadable as error:
        raise DeclarationInvalid(error.field, error.value, error.expected) from None
    builder = _Builder()
    root, plain = builder.build(declared, "", "schema")
    _measure(builder.nodes)
    return ReadSchema(root, plain)


class _Builder:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._named: dict[str, Node] = {}

    def build(self, declared: object, namespace: str, at: str) -> tuple[Node, Any]:
        if isinstance(declared, str):
            return self._reference(declared, namespace, at)
        if isinstance(declared, list):
            return self._union(declared, namespace, at)
        if not isinstance(declared, Mapping):
            _refuse(at, declared, "a type: a name, an object or a list")
        kind = declared.get("type")
        if kind in ("array", "map"):
            return self._container(kind, declared, namespace, at)
        if kind in ("record", "error", "enum", "fixed"):
            return self._named_type("record" if kind == "error" else kind, declared, namespace, at)
        if kind is None:
            _refuse(f"{at}/type", "absent", "the name of a type")
        return self.build(kind, namespace, f"{at}/type")

    def _node(self, kind: str, name: str, at: str) -> Node:
        if len(self.nodes) >= SCHEMA_NODES_MAX:
            _refuse(at, "…", f"at most {SCHEMA_NODES_MAX} types in one schema")
        node = Node(kind, name, at)
        self.nodes.append(node)
        return node

    def _reference(self, name: str, namespace: str, at: str) -> tuple[Node, Any]:
        if name in PRIMITIVES:
            return self._node(name, name, at), name
        known = self._named.get(name if "." in name or not namespace else f"{namespace}.{name}")
        if known is None:
            _refuse(at, name, f"{', '.join(PRIMITIVES)}, or a type declared before it")
        return known, known.plain

    def _union(self, declared: list[object], namespace: str, at: str) -> tuple[Node, Any]:
        if not declared:
            _refuse(at, declared, "at least one branch")
        node, plain = self._node("union", "union", at), []
        for number, one in enumerate(declared):
            branch, branch_plain = self.build(one, namespace, f"{at}/{number}")
            if branch.kind == "union" or any(branch.plain == other.plain for other in node.branches):
                _refuse(f"{at}/{number}", branch.name, "a branch that is no union and no second one of its type")
            node.branches.append(branch)
            plain.append(branch_plain)
        node.name = " or ".join(branch.name for branch in node.branches)[:200]
        return node, plain

    def _container(self, kind: str, declared: Mapping[str, Any], namespace: str, at: str) -> tuple[Node, Any]:
        inside = "items" if kind == "array" else "values"
        if inside not in declared:
            _refuse(f"{at}/{inside}", "absent", f"the type of the {inside}")
        node = self._node(kind, kind, at)
        node.bytes_min = 1
        node.items, plain = self.build(declared[inside], namespace, f"{at}/{inside}")
        return node, {"type": kind, inside: plain}

    def _named_type(self, kind: str, declared: Mapping[str, Any], namespace: str, at: str) -> tuple[Node, Any]:
        full = _full_name(declared, namespace, at)
        if full in self._named or full in PRIMITIVES:
            _refuse(f"{at}/name", full, "a name that no other type has")
        node = self._node(kind, full, at)
        node.plain = f"T{len(self._named)}"
        self._named[full] = node
        plain: dict[str, Any] = {"type": kind, "name": node.plain}
        if kind == "record":
            plain["fields"] = self._fields(node, declared, full.rpartition(".")[0], at)
        elif kind == "enum":
            plain["symbols"] = _symbols(declared, at)
            node.symbols, node.bytes_min = frozenset(plain["symbols"]), 1
        else:
            plain["size"] = node.size = _size(declared, at)
            node.bytes_min = node.size
        return node, plain

    def _fields(self, node: Node, declared: Mapping[str, Any], namespace: str, at: str) -> list[Any]:
        fields = declared.get("fields")
        if not isinstance(fields, list):
            _refuse(f"{at}/fields", fields, "a list of fields")
        plain = []
        for number, field in enumerate(fields):
            here = f"{at}/fields/{number}"
            if not isinstance(field, Mapping) or "type" not in field:
                _refuse(here, field, "an object with name and type")
            name = field.get("name")
            if not isinstance(name, str) or not _NAME.match(name) or name in node.fields:
                _refuse(f"{here}/name", name, "a name of letters, digits and _, once in a record")
            inner, inner_plain = self.build(field["type"], namespace, f"{here}/type")
            node.fields[name] = Field(name, inner, "default" in field, field.get("default"))
            plain.append({"name": name, "type": inner_plain})
        return plain


def _full_name(declared: Mapping[str, Any], namespace: str, at: str) -> str:
    name, own = declared.get("name"), declared.get("namespace", namespace)
    if not isinstance(name, str) or not isinstance(own, str):
        _refuse(f"{at}/name", name, "a name")
    full = name if "." in name or not own else f"{own}.{name}"
    if len(full) > 1024 or not all(_NAME.match(part) for part in full.split(".")):
        _refuse(f"{at}/name", full, "a name of letters, digits and _, in a namespace of such names")
    return full


def _symbols(declared: Mapping[str, Any], at: str) -> list[str]:
    symbols = declared.get("symbols")
    if not isinstance(symbols, list) or not symbols or len({str(symbol) for symbol in symbols}) != len(symbols):
        _refuse(f"{at}/symbols", symbols, "a list of different symbols")
    for number, symbol in enumerate(symbols):
        if not isinstance(symbol, str) or not _NAME.match(symbol):
            _refuse(f"{at}/symbols/{number}", symbol, "a name of letters, digits and _")
    return symbols


def _size(declared: Mapping[str, Any], at: str) -> int:
    size = declared.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= FIXED_BYTES_MAX:
        _refuse(f"{at}/size", size, f"0 to {FIXED_BYTES_MAX} bytes")
    return size


def _measure(nodes: list[Node]) -> None:
    """Finds the shortest encoding of every type; refuses types without any and arrays of items that take no bytes.

    Types name each other, so the sizes are improved until they stay: forwards and backwards in turn, because a type is
    declared after those around it and before those that name it.
    """
    for _ in range(_PASSES_MAX):
        changed = False
        for node in (*reversed(nodes), *nodes):
            shortest = node.shortest()
            changed = changed or shortest != node.bytes_min
            node.bytes_min = shortest
        if not changed:
            break
    for node in nodes:
        if node.bytes_min == _ENDLESS:
            _refuse(
                node.pointer,
                node.name,
                "a type that ends: one that holds itself needs a union with another or an array",
            )
        if node.kind == "array" and node.items is not None and node.items.bytes_min == 0:
            _refuse(f"{node.pointer}/items", node.items.name, "items that take at least one byte each")


def _refuse(at: str, value: object, expected: str) -> NoReturn:
    raise DeclarationInvalid(at, value, expected)
