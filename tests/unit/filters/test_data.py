"""Data as filters see it: exact texts of JSON values, and nothing at all of what is no JSON (threat S18)."""

from __future__ import annotations

import pytest

from pipeline.filters.data import DATA_BYTES_MAX, NOTHING, parse_data, text_at
from pipeline.filters.keys import Path

DOCUMENT = (
    b'{"s": "x", "n": 1.0, "big": 123456789012345678901234567890, "e": 1E999, "t": true, "z": null,'
    b' "o": {"in": -0}, "l": [1, [2]], "": "empty", "d": 1, "d": 2}'
)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("s",), "x"),
        (("n",), "1.0"),
        (("big",), "123456789012345678901234567890"),
        (("e",), "1E999"),
        (("t",), "true"),
        (("z",), "null"),
        (("o", "in"), "-0"),
        (("l", 0), "1"),
        (("l", -1, 0), "2"),
        (("",), "empty"),
        (("d",), "2"),
        ((), None),
        (("o",), None),
        (("l",), None),
        (("l", 2), None),
        (("l", -3), None),
        (("absent",), None),
        (("l", "0"), None),
        (("o", 0), None),
        (("s", 0), None),
        (("n", "x"), None),
    ],
)
def test_a_value_is_its_json_text(path: Path, text: str | None) -> None:
    assert text_at(parse_data(DOCUMENT), path) == text


def test_data_that_is_one_value_has_it_at_the_root() -> None:
    assert text_at(parse_data(b' "x" '), ()) == "x"
    assert text_at(parse_data(b"1e5"), ()) == "1e5"


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"{",
        b"{} {}",
        b"NaN",
        b"[-Infinity]",
        b"01",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"\x00\x00\x00\x00\x01\x02",
        "{}".encode("utf-16"),
        b'{"a": "\x01"}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'"' + b"x" * DATA_BYTES_MAX + b'"',
    ],
    ids=lambda data: str(data[:12]) if data else "none",
)
def test_what_is_no_json_or_a_bomb_has_no_values(data: bytes | None) -> None:
    assert parse_data(data) is NOTHING
    assert text_at(parse_data(data), ()) is None
    assert text_at(parse_data(data), ("a",)) is None


def test_five_thousand_digits_are_as_good_as_five() -> None:
    assert text_at(parse_data(b"9" * 5000), ()) == "9" * 5000
