from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid, FormatUnreadable, SchemaMismatch
from pipeline.format.avro_codec import AvroCodec
from tests.vectors.reading import vectors

ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {
            "name": "items",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Item",
                    "fields": [
                        {"name": "price", "type": "double"},
                        {"name": "count", "type": "int", "default": 1},
                        {"name": "note", "type": ["null", "string"], "default": None},
                    ],
                },
            },
        },
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}, "default": "A"},
        {"name": "tags", "type": {"type": "map", "values": "bytes"}, "default": {}},
        {"name": "parent", "type": ["null", "Order"], "default": None},
        {"name": "placed", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
    ],
}
CODEC = AvroCodec(json.dumps(ORDER))


def encoded(**fields: object) -> bytes:
    return CODEC.encode_json(json.dumps({"id": "x", "items": [], **fields}).encode())


@pytest.mark.parametrize("case", vectors("avro/binary_encoding.json"), ids=lambda case: f"{case['value']}"[:20])
def test_encodes_and_decodes_the_examples_of_the_specification(case: dict[str, Any]) -> None:
    codec = AvroCodec(json.dumps(case["schema"]))
    assert codec.encode_json(json.dumps(case["value"]).encode()).hex() == case["hex"]
    assert json.loads(codec.decode_to_json(bytes.fromhex(case["hex"]))) == case["value"]


def test_defaults_are_filled_in_and_logical_types_stay_plain() -> None:
    body = encoded(items=[{"price": 2}], parent={"id": "y", "items": []}, placed=1_795_219_200_000)
    assert json.loads(CODEC.decode_to_json(body)) == {
        "id": "x",
        "items": [{"price": 2.0, "count": 1, "note": None}],
        "kind": "A",
        "tags": {},
        "parent": {"id": "y", "items": [], "kind": "A", "tags": {}, "parent": None, "placed": 0},
        "placed": 1_795_219_200_000,
    }


@pytest.mark.parametrize(
    ("data", "field", "expected"),
    [
        ({"id": "x", "items": [{"price": "1"}]}, "/data/items/0/price", "double: a number"),
        ({"id": "x"}, "/data/items", "array: a list"),
        ({"id": "x", "items": [{}]}, "/data/items/0/price", "double: a number"),
        ({"id": "x", "items": [{"price": 1, "count": 2**31}]}, "/data/items/0/count", "int: a whole number of 32 bits"),
        ({"id": "x", "items": [{"price": 1, "count": 1.0}]}, "/data/items/0/count", "int: a whole number of 32 bits"),
        ({"id": "x", "items": [{"price": True}]}, "/data/items/0/price", "double: a number"),
        ({"id": "x", "items": [{"price": 1, "note": 5}]}, "/data/items/0/note", "one of: null; string"),
        ({"id": "x", "items": [], "kind": "C"}, "/data/kind", "shop.Kind: one of A, B"),
        (
            {"id": "x", "items": [], "tags": {"a/b": "€"}},
            "/data/tags/a~1b",
            "bytes: a string of characters U+0000 to U+00FF",
        ),
        ({"id": "x", "items": [], "parent": {"id": 1, "items": []}}, "/data/parent/id", "string"),
        (
            {"id": "x", "items": [], "parent": {"id": "y", "items": [{}]}},
            "/data/parent/items/0/price",
            "double: a number",
        ),
        ([], "/data", "shop.Order: an object"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path_with_what_would(data: object, field: str, expected: str) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        CODEC.encode_json(json.dumps(data).encode())
    assert (caught.value.field, caught.value.expected) == (field, expected)


def test_a_field_the_schema_does_not_have_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SchemaMismatch, match=r"did you mean items\?") as caught:
        encoded(itms=[])
    assert caught.value.field == "/data/itms"


def test_json_that_is_not_strict_is_refused_with_its_place() -> None:
    with pytest.raises(FormatUnreadable) as caught:
        CODEC.encode_json(b'{"id":"x","items":[{"price":NaN}]}')
    assert caught.value.field == "/data/items/0/price"


def test_of_a_union_the_first_branch_that_fits_is_meant() -> None:
    codec = AvroCodec('["null","int","double","string",{"type":"array","items":"int"},{"type":"map","values":"int"}]')
    for value in (None, 1, 2.5, "x", [1], {"a": 1}):
        assert json.loads(codec.decode_to_json(codec.encode_json(json.dumps(value).encode()))) == value


def test_floats_that_are_no_numbers_are_words_in_json() -> None:
    codec = AvroCodec('{"type":"array","items":"double"}')
    words = b'["NaN","Infinity","-Infinity",1.5]'
    assert codec.decode_to_json(codec.encode_json(words)) == words


def test_a_number_beyond_single_precision_is_refused() -> None:
    with pytest.raises(SchemaMismatch):
        AvroCodec('"float"').encode_json(b"1e39")


@pytest.mark.parametrize("cut", range(8))
def test_a_body_cut_anywhere_is_refused(cut: int) -> None:
    body = encoded(items=[{"price": 1}])
    with pytest.raises(FormatUnreadable):
        CODEC.decode_to_json(body[:cut])


def test_errors_in_bytes_are_named_by_their_path_too() -> None:
    with pytest.raises(FormatUnreadable) as caught:
        CODEC.decode_to_json(b"\x02x\x02" + b"\0" * 8 + b"\xff" * 10)
    assert caught.value.field == "/data/items/0/count"


def test_blocks_with_their_size_are_read() -> None:
    assert AvroCodec('{"type":"array","items":"int"}').decode_to_json(bytes.fromhex("0304020400")) == b"[1,2]"


def test_unions_that_are_tried_in_vain_cost_a_bounded_time() -> None:
    """Two branches that both hold the union again double the work at every level."""
    inner = {"name": "next", "type": ["null", "A", "B"]}
    schema = {
        "type": "record",
        "name": "A",
        "fields": [
            {
                "name": "next",
                "type": [
                    "null",
                    "A",
                    {"type": "record", "name": "B", "fields": [inner, {"name": "end", "type": "int"}]},
                ],
            }
        ],
    }
    value: dict[str, Any] = {"next": 5}
    for _ in range(50):
        value = {"next": value}
    with pytest.raises(SchemaMismatch, match="values"):
        AvroCodec(json.dumps(schema)).encode_json(json.dumps(value).encode())


def test_records_of_nulls_cannot_multiply_out_of_nothing() -> None:
    schema: Any = "null"
    for level in range(20):
        again = f"R{level - 1}" if level else "null"
        fields = [{"name": "a", "type": schema}, {"name": "b", "type": again}]
        schema = {"type": "record", "name": f"R{level}", "fields": fields}
    with pytest.raises(FormatUnreadable, match="values"):
        AvroCodec(json.dumps(schema)).decode_to_json(b"")


@pytest.mark.parametrize("case", vectors("avro/bombs.json")["schemas"], ids=lambda case: case["why"])
def test_schemas_that_blow_up_are_refused_when_made(case: dict[str, Any]) -> None:
    with pytest.raises(DeclarationInvalid):
        AvroCodec(json.dumps(case["schema"]))


def test_bytes_that_take_a_decoder_down_are_refused() -> None:
    """Threat S19; in a process of its own with 1 GB, where a crash or a flood of memory would be seen."""
    command = [sys.executable, "-c", _DECODES_BOMBS]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50, cwd=root)
    assert done.returncode == 0, done.stderr
    bombs = vectors("avro/bombs.json")["bytes"]
    assert done.stdout.splitlines() == [f"refused: {bomb['why']}" for bomb in bombs]


_DECODES_BOMBS = """
import json, resource
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from pipeline.errors import FormatUnreadable
from pipeline.format.avro_codec import AvroCodec
from tests.vectors.reading import vectors
for bomb in vectors("avro/bombs.json")["bytes"]:
    body = bytes.fromhex(bomb["hex"]) * bomb.get("times", 1) + bytes.fromhex(bomb.get("tail", ""))
    try:
        AvroCodec(json.dumps(bomb["schema"])).decode_to_json(body)
    except FormatUnreadable:
        print("refused:", bomb["why"])
"""
