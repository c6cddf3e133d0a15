"""Keys: attributes, headers and singular JSON paths (RFC 9535 §2.3.5.1)."""

from __future__ import annotations

import pytest

from pipeline.errors import FilterInvalid
from pipeline.filters.keys import HEADER_CHARACTERS_MAX, PATH_CHARACTERS_MAX, STEPS_MAX, Path, key_of


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("$", ()),
        ("$.a", ("a",)),
        ("$.a.b[0]", ("a", "b", 0)),
        ("$['a b'][-1]", ("a b", -1)),
        ('$["a"]["b"]', ("a", "b")),
        (r'$["a\"b"]', ('a"b',)),
        (r"$['a\'b']", ("a'b",)),
        ("$['a\"b']", ('a"b',)),
        (r"$['a\\']", ("a\\",)),
        (r"$['\u00e9\n']", ("é\n",)),
        ("$.é_1", ("é_1",)),
        ("$ .a ['x'] [ 1 ]", ("a", "x", 1)),
        ("$['']", ("",)),
    ],
)
def test_a_singular_query_names_its_steps(written: str, path: Path) -> None:
    assert key_of(written, "/x") == path


@pytest.mark.parametrize(
    "written",
    [
        "$a",
        "$.",
        "$..a",
        "$.*",
        "$[*]",
        "$[0,1]",
        "$[0:1]",
        "$[?@.a]",
        "$.1a",
        "$.a.",
        "$.a-b",
        "$[01]",
        "$[-0]",
        "$[1.0]",
        "$[9007199254740992]",
        "$['a]",
        r"$['a\"b']",
        r"$[" + r'"a\'b"]',
        r"$['\x']",
        "$['a\nb']",
        "$." + "a" * PATH_CHARACTERS_MAX,
        "$" + "[0]" * (STEPS_MAX + 1),
        "h.",
        "h." + "x" * (HEADER_CHARACTERS_MAX + 1),
        "Type",
        "",
        "data.a",
        5,
    ],
)
def test_what_names_no_single_value_is_refused(written: object) -> None:
    with pytest.raises(FilterInvalid) as caught:
        key_of(written, "/x")
    assert caught.value.field == "/x"


def test_headers_keep_their_name_as_it_is_written() -> None:
    assert key_of("h.X-Tenant ü.$", "/x") == "h.X-Tenant ü.$"


def test_where_a_path_is_not_understood_is_said() -> None:
    with pytest.raises(FilterInvalid, match=r"not clear from '\[\*\]'"):
        key_of("$.items[*]", "/x")
