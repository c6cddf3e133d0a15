"""Avro: JSON in, binary out, and back, by fastavro behind the guards of `avro_schema`, `avro_fit` and `avro_scan`.

fastavro 1.13.1 ends the process on deep recursion and takes any memory a block count asks for, so it never sees a
schema or bytes that were not walked first. Frames (`pipeline.format.frame`) are put around the body by the caller.
"""

from __future__ import annotations

from io import BytesIO
from math import isfinite, isnan
from typing import Any

import fastavro
import orjson

from pipeline.errors import DeclarationInvalid, SchemaMismatch
from pipeline.format.avro_fit import fit
from pipeline.format.avro_scan import scan
from pipeline.format.avro_schema import Node, read_schema
from pipeline.format.json_codec import check_json

_FIELD = "/data"
_DEFAULT_VALUES_MAX = 10_000
_VALUES_MAX = 500_000


class AvroCodec:
    """One schema, ready to encode and decode. `DeclarationInvalid` names the place in a schema that will not do."""

    def __init__(self, schema_json: str) -> None:
        self._root, plain = read_schema(schema_json)
        _check_defaults(self._root)
        self._schema = fastavro.parse_schema(plain)

    def encode_json(self, data: bytes) -> bytes:
        """JSON text as Avro binary.

        Raises `FormatUnreadable` (no strict JSON) or `SchemaMismatch`, whose field is the pointer of what does not fit
        (``/data/items/0/price``) and whose text says what would.
        """
        values_max = min(_VALUES_MAX, _DEFAULT_VALUES_MAX + 16 * len(data))
        fitted = fit(self._root, check_json(data, _FIELD), _FIELD, values_max=values_max)
        out = BytesIO()
        fastavro.schemaless_writer(out, self._schema, fitted)
        return out.getvalue()

    def decode_to_json(self, body: bytes) -> bytes:
        """Avro binary as JSON text. `FormatUnreadable` names the place in anything that is not one whole value."""
        not_finite = scan(self._root, body, _FIELD)
        value = fastavro.schemaless_reader(BytesIO(body), self._schema, None)
        return orjson.dumps(_as_words(value) if not_finite else value, default=_as_text)


def _check_defaults(root: Node) -> None:
    """Refuses a default that does not fit its field, or that fills in more defaults than anyone could mean."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += [
            *node.branches,
            *([node.items] if node.items else []),
            *(field.node for field in node.fields.values()),
        ]
        for name, field in node.fields.items():
            if field.has_default:
                at = f"{node.pointer}/fields/{list(node.fields).index(name)}/default"
                try:
                    fit(field.node, field.default, at, values_max=_DEFAULT_VALUES_MAX)
                except (SchemaMismatch, RecursionError) as error:
                    raise DeclarationInvalid(at, field.default, f"a default that fits its type ({error})") from None


def _as_text(value: object) -> str:
    """Bytes as Avro's JSON encoding has them, one character each."""
    assert isinstance(value, bytes)
    return value.decode("latin-1")


def _as_words(value: Any) -> Any:
    """``value`` with floats that JSON cannot hold as the words of Avro's JSON encoding."""
    if isinstance(value, dict):
        return {name: _as_words(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_words(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
