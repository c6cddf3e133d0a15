from __future__ import annotations

import pytest

from pipeline.format.json_fault import find_fault, too_deep


@pytest.mark.parametrize(
    "text", ["{}", "[]", ' {"a" : [ 1 , "x" , true , null ] } ', '"\\ud83d\\ude00"', "-0.5e-3", '{"":{}}']
)
def test_finds_nothing_in_strict_json(text: str) -> None:
    assert find_fault(text, 64) is None


@pytest.mark.parametrize(
    ("text", "pointer", "expected"),
    [
        ("", "", "a JSON value"),
        ("{", "", "a name in double quotes"),
        ('{"a"', "/a", "a colon after the name"),
        ('{"a":1 "b":2}', "/a", "a comma or }"),
        ("[1 2]", "/0", "a comma or ]"),
        ('{"~/":tru}', "/~0~1", "a JSON value"),
        ('"\\ud83d"', "", "a string without lone surrogates"),
    ],
)
def test_names_the_first_fault(text: str, pointer: str, expected: str) -> None:
    fault = find_fault(text, 64)
    assert fault is not None
    assert (fault.pointer, fault.expected) == (pointer, expected)


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        ("[[1]]", False),
        ("[[[1]]]", True),
        ('{"a":{"b":{}}}', True),
        ('["[[[["]', False),
        ('["\\"[[[[", "{{{{"]', False),
        ("[[],[],[]]", False),
    ],
)
def test_counts_levels_outside_strings(text: str, deep: bool) -> None:
    assert too_deep(text, 2) is deep
