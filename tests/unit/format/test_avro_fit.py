from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import SchemaMismatch
from pipeline.format.avro_fit import fit
from pipeline.format.avro_schema import read_schema


def fitted(schema: Any, value: Any, values_max: int = 1000) -> Any:
    return fit(read_schema(json.dumps(schema)).root, value, "/data", values_max=values_max)


def test_a_branch_is_named_so_that_the_codec_takes_that_one() -> None:
    assert fitted(["null", "int", "string"], "x") == ("string", "x")
    assert fitted(["null", "int"], None) is None


def test_the_branch_that_was_entered_tells_what_is_wrong() -> None:
    schema = ["null", "string", {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}]
    with pytest.raises(SchemaMismatch) as caught:
        fitted(schema, {"a": "x"})
    assert caught.value.field == "/data/a"


def test_bytes_are_characters_of_one_byte() -> None:
    assert fitted("bytes", "\x00\xff") == b"\x00\xff"
    assert fitted({"type": "fixed", "name": "F", "size": 2}, "ab") == b"ab"
    with pytest.raises(SchemaMismatch, match="2 characters"):
        fitted({"type": "fixed", "name": "F", "size": 2}, "abc")


@pytest.mark.parametrize(
    ("schema", "value"), [("boolean", 1), ("int", True), ("long", 1.5), ("string", 1), ("null", 0), ("bytes", 5)]
)
def test_no_value_is_taken_for_another_kind(schema: str, value: Any) -> None:
    with pytest.raises(SchemaMismatch):
        fitted(schema, value)


def test_the_values_looked_at_are_counted() -> None:
    with pytest.raises(SchemaMismatch, match="at most 10 values"):
        fitted({"type": "array", "items": "int"}, [1] * 10, values_max=10)
