from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import FormatUnreadable
from pipeline.format.avro_scan import DEPTH_MAX, scan
from pipeline.format.avro_schema import read_schema

LIST = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}


def scanned(schema: Any, body: bytes) -> bool:
    return scan(read_schema(json.dumps(schema)).root, body, "/data")


def test_nesting_ends_at_64_levels() -> None:
    assert scanned(LIST, b"\x02" * (DEPTH_MAX - 1) + b"\x00") is False
    with pytest.raises(FormatUnreadable, match="inside each other"):
        scanned(LIST, b"\x02" * DEPTH_MAX + b"\x00")


def test_floats_that_are_no_numbers_are_told() -> None:
    assert scanned("double", bytes.fromhex("000000000000f87f")) is True
    assert scanned("double", bytes.fromhex("000000000000f0ff")) is True
    assert scanned("double", bytes.fromhex("ffffffffffffef7f")) is False
    assert scanned("float", bytes.fromhex("0000c07f")) is True
    assert scanned("float", bytes.fromhex("ffff7f7f")) is False


@pytest.mark.parametrize(
    ("schema", "body", "field"),
    [
        ({"type": "map", "values": "int"}, b"\x02\x02a\xff", "/data/a"),
        ({"type": "array", "items": "string"}, b"\x04\x02a\x08b", "/data/1"),
        (LIST, b"\x02\x04", "/data/next/next"),
    ],
)
def test_the_place_is_named(schema: Any, body: bytes, field: str) -> None:
    with pytest.raises(FormatUnreadable) as caught:
        scanned(schema, body)
    assert caught.value.field == field


def test_a_block_that_cannot_fit_is_refused_before_its_items_are_looked_at() -> None:
    with pytest.raises(FormatUnreadable, match=r"4 items.* fits into the 3 bytes") as caught:
        scanned({"type": "array", "items": "int"}, b"\x08\x00\x00\x00")
    assert caught.value.field == "/data"


def test_many_values_of_a_byte_each_are_counted() -> None:
    assert scanned({"type": "array", "items": "int"}, b"\xc0\x9a\x0c" + b"\x00" * 100_000 + b"\x00") is False
    with pytest.raises(FormatUnreadable, match="values"):
        scanned({"type": "array", "items": "int"}, b"\x80\x92\xf4\x01" + b"\x00" * 2_000_001)
