"""Whether data written with an old schema can be read with a new one, by the rules of the ``avro`` package.

Source: Apache Avro specification, Schema Resolution; BACKWARD in the words of Confluent Schema Registry. Logical types
are not compared: the data under them is what gets read.
"""

from __future__ import annotations

import json
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import Schema, parse

from pipeline.errors import DeclarationInvalid
from pipeline.format.avro_schema import read_schema


def is_backward_compatible(new_json: str, old_json: str) -> list[str]:
    """What keeps ``new_json`` from reading data of ``old_json``, one sentence each; an empty list means nothing does.

    Raises `DeclarationInvalid` when either is no schema we take.
    """
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # the package leaves it out
    result = checker.get_compatibility(_parsed(new_json), _parsed(old_json))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    kinds = ", ".join(sorted(kind.value for kind in result.incompatibilities))
    places = ", ".join(sorted(result.locations))
    return sorted(f"{message} ({kinds} at {places})" for message in result.messages)


def _parsed(schema_json: str) -> Schema:
    read_schema(schema_json)
    try:
        return parse(json.dumps(_bare(json.loads(schema_json))))
    except AvroException as error:
        raise DeclarationInvalid("schema", schema_json, f"an Avro schema ({error})") from None


def _bare(declared: Any) -> Any:
    """The schema with only what the rules look at: the package warns of other things, or will not have them."""
    if isinstance(declared, list):
        return [_bare(branch) for branch in declared]
    if not isinstance(declared, dict):
        return declared
    kind = declared["type"]
    if isinstance(kind, dict | list):
        return _bare(kind)
    bare = {name: declared[name] for name in ("name", "namespace", "symbols", "size") if name in declared}
    bare |= {name: _bare(declared[name]) for name in ("items", "values") if kind == _HOLDERS[name] and name in declared}
    if isinstance(declared.get("aliases"), list):
        bare["aliases"] = declared["aliases"]
    if kind in ("record", "error"):
        return bare | {"type": "record", "fields": [_bare_field(field) for field in declared["fields"]]}
    if kind == "enum" and declared.get("default") in declared["symbols"]:
        bare["default"] = declared["default"]
    return bare | {"type": kind} if kind in _COMPLEX else kind


_HOLDERS = {"items": "array", "values": "map"}
_COMPLEX = ("array", "map", "enum", "fixed")


def _bare_field(field: dict[str, Any]) -> dict[str, Any]:
    kept = {name: field[name] for name in ("name", "default", "aliases") if name in field}
    return kept | {"type": _bare(field["type"])}
