from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import FormatUnreadable
from pipeline.format.json_codec import check_json
from tests.vectors.reading import vectors

CASES = vectors("json/strict.json")


def text_of(case: dict[str, Any]) -> bytes:
    text: str = case["text"]
    times: int = case.get("times", 1)
    return (text * times).encode()


@pytest.mark.parametrize("case", [case for case in CASES if case["taken"]], ids=lambda case: case["name"])
def test_takes_what_every_parser_understands_alike(case: dict[str, Any]) -> None:
    check_json(text_of(case))


@pytest.mark.parametrize("case", [case for case in CASES if not case["taken"]], ids=lambda case: case["name"])
def test_refuses_what_is_no_json_or_means_two_things(case: dict[str, Any]) -> None:
    with pytest.raises(FormatUnreadable):
        check_json(text_of(case))


@pytest.mark.parametrize(
    ("text", "field", "shown"),
    [
        (b'{"a":[1,{"b/c":NaN}]}', "/data/a/1/b~1c", "NaN"),
        (b'{"a":[{"x":1},{"x":1,"x":2}]}', "/data/a/1/x", "x"),
        (b'{"a":{"b":"\\ud800"}}', "/data/a/b", '"\\ud800"'),
        (b'{"items":[0,123456789012345678901]}', "/data/items/1", "123456789012345678901"),
        (b'{"x":1e999}', "/data/x", "1e999"),
        (b'{"a":', "/data/a", "the end"),
        (b"[1,]", "/data/1", "]"),
        (b'{"a":1} x', "/data", "x"),
        (b'{"a":"\xff"}', "/data", "b'\\xff\"}'"),
    ],
)
def test_names_the_place_and_shows_what_is_there(text: bytes, field: str, shown: str) -> None:
    with pytest.raises(FormatUnreadable) as caught:
        check_json(text, "/data")
    assert (caught.value.field, caught.value.value) == (field, shown)


def test_says_what_would_be_right() -> None:
    with pytest.raises(FormatUnreadable, match="send larger numbers as strings"):
        check_json(b"[123456789012345678901234567890]")


def test_a_large_document_is_refused_without_the_search_for_the_place() -> None:
    with pytest.raises(FormatUnreadable) as caught:
        check_json(b"[" + b"0," * 100_000 + b"NaN]", "/data")
    assert caught.value.field == "/data"


def test_gives_the_value() -> None:
    assert check_json(b'{"a":[1,2.5,null,true,"\\u00e9"]}') == {"a": [1, 2.5, None, True, "é"]}
