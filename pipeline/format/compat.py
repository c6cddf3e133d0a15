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
        return parse(json.dumps(_without_logical_types(json.loads(schema_json))))
    except AvroException as error:
        raise DeclarationInvalid("schema", schema_json, f"an Avro schema ({error})") from None


def _without_logical_types(declared: Any) -> Any:
    """The schema without ``logicalType``: the package warns of those it does not know."""
    if isinstance(declared, dict):
        return {name: _without_logical_types(inner) for name, inner in declared.items() if name != "logicalType"}
    if isinstance(declared, list):
        return [_without_logical_types(inner) for inner in declared]
    return declared
