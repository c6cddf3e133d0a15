from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.format.compat import is_backward_compatible


def record(*fields: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": list(fields)})


A = {"name": "a", "type": "int"}


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (record(A), record(A)),
        (record(A), record(A, {"name": "b", "type": "int"})),
        (record(A, {"name": "b", "type": "int", "default": 0}), record(A)),
        (record({"name": "a", "type": "long"}), record(A)),
        (record({"name": "a", "type": ["null", "int"]}), record(A)),
        (record({"name": "a", "type": {"type": "long", "logicalType": "no-such"}}), record(A)),
    ],
)
def test_what_reads_the_old_data_is_compatible(new: str, old: str) -> None:
    assert is_backward_compatible(new, old) == []


@pytest.mark.parametrize(
    ("new", "old", "says"),
    [
        (record(A, {"name": "b", "type": "int"}), record(A), "b (reader_field_missing_default_value"),
        (record({"name": "a", "type": "string"}), record(A), "type_mismatch"),
        (
            '{"type":"enum","name":"E","symbols":["A"]}',
            '{"type":"enum","name":"E","symbols":["A","B"]}',
            "missing_enum_symbols",
        ),
    ],
)
def test_what_does_not_is_told_with_its_place(new: str, old: str, says: str) -> None:
    problems = is_backward_compatible(new, old)
    assert says in problems[0]
    assert "/" in problems[0]


@pytest.mark.parametrize("bad", ["nul", "{", '{"type":"array","items":"null"}'])
def test_what_is_no_schema_is_refused(bad: str) -> None:
    with pytest.raises(DeclarationInvalid):
        is_backward_compatible(bad, '"int"')
    with pytest.raises(DeclarationInvalid):
        is_backward_compatible('"int"', bad)
