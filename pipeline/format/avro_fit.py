"""JSON fitted to an Avro schema: the value the codec can write, or the place that does not fit and what would.

JSON is taken plainly, without the type tags of Avro's own JSON encoding: of a union the first branch that fits is
meant. ``bytes`` and ``fixed`` are strings of U+0000 to U+00FF, one character a byte, as in that encoding; a float that
is no number is the string ``NaN``, ``Infinity`` or ``-Infinity``. Fields that a record does not have are refused, not
dropped.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NoReturn

from pipeline.errors import SchemaMismatch
from pipeline.format.avro_schema import Node

FLOAT_MAX = 3.4028234663852886e38
_RANGES = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_EXPECTED = {
    "null": "null",
    "boolean": "true or false",
    "int": "int: a whole number of 32 bits",
    "long": "long: a whole number of 64 bits",
    "float": "float: a number of single precision",
    "double": "double: a number",
    "bytes": "bytes: a string of characters U+0000 to U+00FF",
    "string": "string",
    "array": "array: a list",
    "map": "map: an object",
}


def fit(root: Node, value: object, field: str, *, values_max: int) -> Any:
    """``value`` (parsed JSON) as the codec writes it. `SchemaMismatch` names ``field`` + the JSON pointer."""
    return _Fit(values_max).fit(root, value, field)


class _Fit:
    """Counts the values it looks at: unions tried in vain and defaults in defaults must not multiply without end."""

    def __init__(self, values_max: int) -> None:
        self._left = self._values_max = values_max

    def fit(self, node: Node, value: Any, at: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise SchemaMismatch(at, "…", f"at most {self._values_max} values, those tried in unions counted")
        return _FITS[node.kind](self, node, value, at)

    def union(self, node: Node, value: Any, at: str) -> Any:
        likely: list[SchemaMismatch] = []
        for branch in node.branches:
            try:
                fitted = self.fit(branch, value, at)
            except SchemaMismatch as error:
                if self._left < 0:
                    raise
                if error.field != at:
                    likely.append(error)
            else:
                return None if branch.kind == "null" else (branch.plain, fitted)
        # One branch alone was entered before it failed: it is the one that was meant.
        if len(likely) == 1:
            raise likely[0]
        return _misfit(node, value, at)

    def array(self, node: Node, value: Any, at: str) -> list[Any]:
        if not isinstance(value, list) or node.items is None:
            _misfit(node, value, at)
        return [self.fit(node.items, item, f"{at}/{number}") for number, item in enumerate(value)]

    def map(self, node: Node, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict) or node.items is None:
            _misfit(node, value, at)
        return {name: self.fit(node.items, item, _below(at, name)) for name, item in value.items()}

    def record(self, node: Node, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            _misfit(node, value, at)
        for name in value:
            if name not in node.fields:
                raise SchemaMismatch(_below(at, name), value[name], _known_fields(node, name))
        fitted = {}
        for name, field in node.fields.items():
            if name in value:
                fitted[name] = self.fit(field.node, value[name], _below(at, name))
            elif field.has_default:
                fitted[name] = self.fit(field.node, field.default, _below(at, name))
            else:
                raise SchemaMismatch(_below(at, name), "absent", _expected(field.node))
        return fitted

    def null(self, node: Node, value: Any, at: str) -> None:
        if value is not None:
            _misfit(node, value, at)

    def boolean(self, node: Node, value: Any, at: str) -> bool:
        return value if isinstance(value, bool) else _misfit(node, value, at)

    def whole(self, node: Node, value: Any, at: str) -> int:
        low, high = _RANGES[node.kind]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            _misfit(node, value, at)
        return value

    def number(self, node: Node, value: Any, at: str) -> float:
        if isinstance(value, str) and value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if not isinstance(value, int | float) or isinstance(value, bool):
            _misfit(node, value, at)
        if node.kind == "float" and abs(value) > FLOAT_MAX:
            _misfit(node, value, at)
        return float(value)

    def string(self, node: Node, value: Any, at: str) -> str:
        return value if isinstance(value, str) else _misfit(node, value, at)

    def octets(self, node: Node, value: Any, at: str) -> bytes:
        if not isinstance(value, str):
            _misfit(node, value, at)
        try:
            octets = value.encode("latin-1")
        except UnicodeEncodeError:
            _misfit(node, value, at)
        if node.kind == "fixed" and len(octets) != node.size:
            _misfit(node, value, at)
        return octets

    def enum(self, node: Node, value: Any, at: str) -> str:
        return value if isinstance(value, str) and value in node.symbols else _misfit(node, value, at)


_FITS: dict[str, Callable[[_Fit, Node, Any, str], Any]] = {
    "null": _Fit.null,
    "boolean": _Fit.boolean,
    "int": _Fit.whole,
    "long": _Fit.whole,
    "float": _Fit.number,
    "double": _Fit.number,
    "bytes": _Fit.octets,
    "string": _Fit.string,
    "fixed": _Fit.octets,
    "enum": _Fit.enum,
    "array": _Fit.array,
    "map": _Fit.map,
    "record": _Fit.record,
    "union": _Fit.union,
}


def _below(at: str, name: str) -> str:
    return f"{at}/{name.replace('~', '~0').replace('/', '~1')}"


def _known_fields(node: Node, name: str) -> str:
    nearest = difflib.get_close_matches(name[:64], node.fields, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"a field of {node.name} ({', '.join(node.fields)[:300]}{hint})"


def _expected(node: Node) -> str:
    if node.kind == "fixed":
        return f"{node.name}: a string of {node.size} characters U+0000 to U+00FF"
    if node.kind == "enum":
        return f"{node.name}: one of {', '.join(sorted(node.symbols))}"[:300]
    if node.kind == "record":
        return f"{node.name}: an object"
    if node.kind == "union":
        return f"one of: {'; '.join(_expected(branch) for branch in node.branches)}"[:300]
    return _EXPECTED[node.kind]


def _misfit(node: Node, value: object, at: str) -> NoReturn:
    raise SchemaMismatch(at, value, _expected(node))
