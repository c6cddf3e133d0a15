from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.format.avro_schema import SCHEMA_BYTES_MAX, SCHEMA_NODES_MAX, read_schema


def record(*fields: Any, name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


@pytest.mark.parametrize(
    ("schema", "bytes_min"),
    [
        ("null", 0),
        ("int", 1),
        ("double", 8),
        (["null", "string"], 1),
        ({"type": "fixed", "name": "F", "size": 16}, 16),
        ({"type": "array", "items": "int"}, 1),
        (record({"name": "a", "type": "int"}, {"name": "b", "type": "float"}), 5),
        (record({"name": "next", "type": ["null", "R"]}), 1),
        (record({"name": "many", "type": {"type": "array", "items": "R"}}), 1),
    ],
)
def test_knows_the_shortest_encoding_of_a_type(schema: Any, bytes_min: int) -> None:
    assert read_schema(json.dumps(schema)).root.bytes_min == bytes_min


def test_shortest_encodings_are_found_through_types_that_name_each_other() -> None:
    """Each type is as short as the shortest way out of the circle, whichever of them is looked at first."""
    schema = record(
        {"name": "u", "type": [record({"name": "a", "type": ["int", "R"]}, name="X"), "R"]},
        {"name": "x", "type": "X"},
        {"name": "deep", "type": record({"name": "x", "type": "X"}, {"name": "n", "type": "null"}, name="Y")},
    )
    assert read_schema(json.dumps(schema)).root.bytes_min == 3 + 2 + 2


@pytest.mark.parametrize(
    ("reference", "namespace", "inner"),
    [
        ("Item", "shop", "Item"),
        ("shop.Item", "shop", "Item"),
        ("other.Item", "shop", "other.Item"),
        ("Item", "", "Item"),
    ],
)
def test_names_are_found_as_the_specification_says(reference: str, namespace: str, inner: str) -> None:
    item = record({"name": "n", "type": "int"}, name=inner)
    schema = record({"name": "a", "type": item}, {"name": "b", "type": reference}, namespace=namespace)
    assert read_schema(json.dumps(schema)).root.fields["b"].node.kind == "record"


def test_a_type_inside_a_type_object_is_that_type() -> None:
    assert read_schema('{"type":{"type":"string","logicalType":"uuid"}}').root.kind == "string"
    assert read_schema('{"type":"error","name":"E","fields":[]}').root.kind == "record"


@pytest.mark.parametrize(
    ("schema", "at"),
    [
        ("nul", "schema"),
        (5, "schema"),
        (None, "schema"),
        ({}, "schema/type"),
        ({"type": None}, "schema/type"),
        ({"type": 5}, "schema/type"),
        ([], "schema"),
        (["null", "null"], "schema/1"),
        (["null", ["int"]], "schema/1"),
        ([{"type": "array", "items": "int"}, {"type": "array", "items": "long"}], "schema/1"),
        ({"type": "array"}, "schema/items"),
        ({"type": "map"}, "schema/values"),
        ({"type": "record", "name": "R"}, "schema/fields"),
        ({"type": "record", "fields": []}, "schema/name"),
        (record(5), "schema/fields/0"),
        (record({"name": "a"}), "schema/fields/0"),
        (record({"name": "a-b", "type": "int"}), "schema/fields/0/name"),
        (record({"name": "a", "type": "int"}, {"name": "a", "type": "int"}), "schema/fields/1/name"),
        (record({"name": "a", "type": "S"}), "schema/fields/0/type"),
        (record({"name": "a", "type": record(name="R")}), "schema/fields/0/type/name"),
        (record(name="a..b"), "schema/name"),
        (record(name="R", namespace="1x"), "schema/name"),
        (record(name="int"), "schema/name"),
        ({"type": "enum", "name": "E"}, "schema/symbols"),
        ({"type": "enum", "name": "E", "symbols": []}, "schema/symbols"),
        ({"type": "enum", "name": "E", "symbols": ["A", "A"]}, "schema/symbols"),
        ({"type": "enum", "name": "E", "symbols": ["a-b"]}, "schema/symbols/0"),
        ({"type": "enum", "name": "E", "symbols": [{}]}, "schema/symbols/0"),
        ({"type": "fixed", "name": "F"}, "schema/size"),
        ({"type": "fixed", "name": "F", "size": -1}, "schema/size"),
        ({"type": "fixed", "name": "F", "size": True}, "schema/size"),
        ({"type": "fixed", "name": "F", "size": 2**31}, "schema/size"),
        (record({"name": "a", "type": "R"}), "schema"),
        (record({"name": "a", "type": {"type": "array", "items": "null"}}), "schema/fields/0/type/items"),
    ],
)
def test_what_is_wrong_is_named_by_its_place_in_the_schema(schema: Any, at: str) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        read_schema(json.dumps(schema))
    assert caught.value.field == at


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 65, '{"type":' * 70 + '"int"' + "}" * 70, "\ud800", '{"type":"int","type":"long"}', "[" * 100_000],
)
def test_what_is_no_strict_json_of_64_levels_is_refused(text: str) -> None:
    with pytest.raises(DeclarationInvalid):
        read_schema(text)


def test_size_and_number_of_types_are_bounded() -> None:
    with pytest.raises(DeclarationInvalid, match="bytes"):
        read_schema(" " * SCHEMA_BYTES_MAX + '"int"')
    fields = [{"name": f"f{number}", "type": "int"} for number in range(SCHEMA_NODES_MAX)]
    with pytest.raises(DeclarationInvalid, match="types"):
        read_schema(json.dumps(record(*fields)))
