from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import FilterInvalid, InputError
from pipeline.filters import COMPARISONS_MAX, DEPTH_MAX, EXPRESSIONS_MAX, compile_filters
from tests.fakes.facts import GivenFacts
from tests.vectors.reading import vectors


@pytest.mark.parametrize("case", vectors("cloudevents/filters.json"), ids=lambda case: str(case["filters"])[:60])
def test_the_dialects_hold_as_the_specification_says(case: dict[str, Any]) -> None:
    assert compile_filters(case["filters"]).holds(GivenFacts(case["event"])) is case["holds"]


def nested(depth: int) -> dict[str, Any]:
    expression: dict[str, Any] = {"exact": {"type": "t"}}
    for _ in range(depth - 1):
        expression = {"not": expression}
    return expression


@pytest.mark.parametrize(
    ("filters", "pointer"),
    [
        ("exact", "/filters"),
        ({"exact": {"type": "t"}}, "/filters"),
        ([5], "/filters/0"),
        ([{}], "/filters/0"),
        ([{"exact": {"type": "t"}, "prefix": {"type": "t"}}], "/filters/0"),
        ([{"exact": {"type": "t"}}, {"sql": "true"}], "/filters/1/sql"),
        ([{5: {}}], "/filters/0/5"),
        ([{"exact": {}}], "/filters/0/exact"),
        ([{"exact": "type"}], "/filters/0/exact"),
        ([{"exact": {"Type": "t"}}], "/filters/0/exact/Type"),
        ([{"exact": {"a/b": "t"}}], "/filters/0/exact/a~1b"),
        ([{"exact": {5: "t"}}], "/filters/0/exact/5"),
        ([{"exact": {"$..a": "t"}}], "/filters/0/exact/$..a"),
        ([{"exact": {"h.": "t"}}], "/filters/0/exact/h."),
        ([{"exact": {"type": ""}}], "/filters/0/exact/type"),
        ([{"exact": {"type": 5}}], "/filters/0/exact/type"),
        ([{"prefix": {"type": "t" * 1025}}], "/filters/0/prefix/type"),
        ([{"all": []}], "/filters/0/all"),
        ([{"any": {"exact": {"type": "t"}}}], "/filters/0/any"),
        ([{"any": "xy"}], "/filters/0/any"),
        ([{"any": [{"exact": {"type": "t"}}, {"not": []}]}], "/filters/0/any/1/not"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_its_pointer(filters: Any, pointer: str) -> None:
    with pytest.raises(FilterInvalid) as caught:
        compile_filters(filters)
    assert caught.value.field == pointer


def test_an_unknown_dialect_is_told_the_nearest_one() -> None:
    with pytest.raises(FilterInvalid, match=r"did you mean exact\?"):
        compile_filters([{"exat": {"type": "t"}}])


def test_the_pointer_starts_where_the_caller_says() -> None:
    with pytest.raises(FilterInvalid) as caught:
        compile_filters([{}], field="/select")
    assert caught.value.field == "/select/0"


def test_depth_is_bounded() -> None:
    assert compile_filters([nested(DEPTH_MAX)]).holds(GivenFacts({"type": "t"})) is (DEPTH_MAX % 2 == 1)
    with pytest.raises(FilterInvalid, match="inside each other"):
        compile_filters([nested(DEPTH_MAX + 1)])


def test_a_nest_of_ten_thousand_is_refused_without_recursion_running_out() -> None:
    with pytest.raises(FilterInvalid):
        compile_filters([nested(10_000)])


def test_expressions_are_bounded() -> None:
    one = {"exact": {"type": "t"}}
    compile_filters([one] * EXPRESSIONS_MAX)
    with pytest.raises(FilterInvalid, match="at most 256 expressions"):
        compile_filters([one] * (EXPRESSIONS_MAX + 1))


def test_comparisons_are_bounded_over_all_expressions() -> None:
    many = {"exact": {f"a{number}": "x" for number in range(COMPARISONS_MAX // 2)}}
    compile_filters([many, many])
    with pytest.raises(FilterInvalid, match="comparisons"):
        compile_filters([many, many, {"exact": {"a": "x"}}])


def test_headers_and_data_are_compared_as_attributes_are() -> None:
    wanted = compile_filters([{"exact": {"h.Tenant": "a", "$.n[0]": "1.0"}}, {"prefix": {"type": "x."}}])
    texts = {"h.Tenant": "a", ("n", 0): "1.0", "type": "x.y"}
    assert wanted.holds(GivenFacts(texts))
    for key in texts:
        assert not wanted.holds(GivenFacts({**texts, key: "b"}))


@pytest.mark.parametrize(
    ("filters", "pointer"),
    [
        ([{"exact": {"type": "t", "h.a": "t"}}], None),
        ([{"exact": {"type": "t"}}, {"not": {"any": [{"suffix": {"$.a": "t"}}]}}], "/filters/1/not/any/0/suffix/$.a"),
    ],
)
def test_it_is_said_where_data_is_looked_into(filters: Any, pointer: str | None) -> None:
    assert compile_filters(filters).data_pointer == pointer


@pytest.mark.parametrize(
    ("filters", "anchors"),
    [
        ([], []),
        ([{"exact": {"type": "t"}}], [("type", {"t"}, True)]),
        ([{"exact": {"type": "t"}}, {"prefix": {"source": "/"}}], [("type", {"t"}, False)]),
        ([{"exact": {"type": "t", "$.a": "1"}}], [("type", {"t"}, False), (("a",), {"1"}, False)]),
        ([{"any": [{"exact": {"type": "t"}}, {"exact": {"type": "u"}}]}], [("type", {"t", "u"}, True)]),
        ([{"any": [{"exact": {"type": "t"}}, {"exact": {"type": "u", "a": "b"}}]}], [("type", {"t", "u"}, False)]),
        ([{"any": [{"exact": {"type": "t"}}, {"exact": {"source": "/s"}}]}], []),
        ([{"any": [{"exact": {"type": "t"}}, {"prefix": {"type": "u"}}]}], []),
        ([{"not": {"exact": {"type": "t"}}}], []),
    ],
)
def test_what_must_be_so_wherever_it_holds_is_its_anchor(filters: Any, anchors: Any) -> None:
    assert [tuple(anchor) for anchor in compile_filters(filters).anchors] == anchors


def test_what_cannot_be_read_is_not_guessed_at_but_what_can_decides_first() -> None:
    wanted = compile_filters([{"exact": {"type": "t", "h.a": "b"}}])
    with pytest.raises(InputError):
        wanted.holds(GivenFacts({"h.a": "b"}, {"type"}))
    assert not wanted.holds(GivenFacts({"h.a": "c"}, {"type"}))
