"""Data as filters see it: JSON parsed once, one value found by its path, and that value as text.

Text of a string is the string; of a number, ``true``, ``false`` and ``null`` it is their JSON text as it stands in the
data (``1.0`` is not ``1``), so that no number is rounded. Objects and arrays have no text. What is no JSON (RFC 8259),
nests too deep to be read or is larger than `DATA_BYTES_MAX` has no values at all. Of equal names in an object the last
counts.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from pipeline.filters.keys import Path

DATA_BYTES_MAX = 1_048_576
"""Larger data is not parsed: it would hold up the loop."""


NOTHING: Final = object()
"""What stands for data that has no values."""

_WORDS = {True: "true", False: "false", None: "null"}


def _refuse(constant: str) -> NoReturn:
    """NaN and the infinities are no JSON (RFC 8259 §6)."""
    raise ValueError(constant)


_decode = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse).decode


def parse_data(data: bytes | None) -> Any:
    """The JSON value of ``data``, numbers as their text; `NOTHING` where it is none that filters look into."""
    if data is None or len(data) > DATA_BYTES_MAX:
        return NOTHING
    try:
        return _decode(data.decode())
    except (ValueError, RecursionError):
        return NOTHING


def text_at(value: Any, path: Path) -> str | None:
    """The text at ``path`` in a value of `parse_data`; None where nothing is there, or an object or array."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return None
        elif not isinstance(value, list) or not -len(value) <= step < len(value):
            return None
        value = value[step]
    if isinstance(value, str):
        return value
    return _WORDS[value] if value is None or isinstance(value, bool) else None
