"""Strict JSON: what every reader understands alike, or an error that names the place.

Accepted is RFC 8259 in UTF-8, and of that only what means one thing to all parsers (RFC 7493, I-JSON, with 64-bit
integers): at most 64 levels, no name twice in an object, no lone surrogates, no ``NaN`` or ``Infinity``, no number
beyond its type. Bytes are checked, never rewritten: numbers and spacing stay as the sender wrote them.
"""

from __future__ import annotations

import json
from math import isinf
from typing import Any, NoReturn

import orjson

from pipeline.errors import FormatUnreadable
from pipeline.format.json_fault import find_fault, too_deep

DEPTH_MAX = 64
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
# Looking for the place of a fault costs about 50 times what the check does: in larger documents the error names no
# place.
_SEARCHED_BYTES_MAX = 65_536


def check_json(data: bytes, field: str = "", *, depth_max: int = DEPTH_MAX) -> Any:
    """The value ``data`` stands for. `FormatUnreadable` names ``field`` + the JSON pointer of the fault."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FormatUnreadable(field or "/", data[error.start : error.start + 8], "UTF-8 text") from None
    try:
        if too_deep(text, depth_max):
            _refuse(text, field, "nested too deeply", depth_max)
        # Lone surrogates pass the standard library; only an escape can bring them into UTF-8 text.
        if "\\u" in text:
            orjson.loads(data)
        return _STRICT.decode(text)
    except (ValueError, RecursionError) as error:
        return _refuse(text, field, str(error), depth_max)


def _refuse(text: str, field: str, problem: str, depth_max: int) -> NoReturn:
    if len(text) <= _SEARCHED_BYTES_MAX:
        fault = find_fault(text, depth_max)
        if fault is not None:
            raise FormatUnreadable(field + fault.pointer or "/", fault.shown, fault.expected)
    raise FormatUnreadable(field or "/", f"{len(text)} characters", f"strict JSON ({problem})")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits) > 20 or not INTEGER_MIN <= int(digits) <= INTEGER_MAX:
        raise ValueError("an integer beyond 64 bits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError("a number beyond double precision")
    return number


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant, strict=True
)
