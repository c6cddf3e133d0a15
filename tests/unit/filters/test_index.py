"""The index: what it looks at, and what it forgets. That it selects as evaluation does: ``tests/property``."""

from __future__ import annotations

from typing import Any

from pipeline.filters import Filter, FilterIndex, compile_filters
from tests.fakes.facts import GivenFacts


def wanting(*filters: Any) -> Filter:
    return compile_filters(list(filters))


def test_an_event_looks_up_its_text_once_however_many_compare_it() -> None:
    index: FilterIndex[int] = FilterIndex()
    for number in range(1000):
        index.add(number, wanting({"exact": {"type": f"t{number}"}}))
    facts = GivenFacts({"type": "t7"})
    assert index.select(facts).matched == [7]
    assert facts.asked == ["type"]


def test_the_rest_of_a_filter_is_asked_only_where_its_anchor_holds() -> None:
    index: FilterIndex[str] = FilterIndex()
    index.add("both", wanting({"exact": {"$.a": "1", "type": "t"}}))
    index.add("other", wanting({"exact": {"$.b": "1", "type": "u"}}))
    facts = GivenFacts({"type": "t", ("a",): "1"})
    assert index.select(facts).matched == ["both"]
    assert ("b",) not in facts.asked


def test_among_attributes_the_one_that_others_use_is_looked_up() -> None:
    index: FilterIndex[str] = FilterIndex()
    index.add("first", wanting({"exact": {"tenant": "a"}}))
    index.add("second", wanting({"exact": {"type": "t", "tenant": "b"}}))
    facts = GivenFacts({"type": "t", "tenant": "x"})
    assert index.select(facts).matched == []
    assert facts.asked == ["tenant"]


def test_who_takes_everything_costs_no_look_up() -> None:
    index: FilterIndex[str] = FilterIndex()
    index.add("all", None)
    facts = GivenFacts({}, {"type"})
    assert index.select(facts).matched == ["all"]
    assert facts.asked == []


def test_who_is_removed_is_forgotten() -> None:
    index: FilterIndex[str] = FilterIndex()
    members = {
        "any": wanting({"any": [{"exact": {"type": "t"}}, {"exact": {"type": "u"}}]}),
        "prefix": wanting({"prefix": {"type": "t"}}),
        "all": None,
    }
    for name, wanted in members.items():
        index.add(name, wanted)
    assert len(index) == 3
    for name in members:
        index.remove(name)
        index.remove(name)
    facts = GivenFacts({"type": "t"})
    assert index.select(facts).matched == []
    assert (len(index), facts.asked) == (0, [])


def test_what_cannot_be_judged_is_said_with_the_reason() -> None:
    index: FilterIndex[str] = FilterIndex()
    index.add("type", wanting({"exact": {"type": "t"}}))
    index.add("prefix", wanting({"prefix": {"type": "t"}}))
    index.add("header", wanting({"exact": {"h.a": "b"}}))
    index.add("another header", wanting({"exact": {"h.a": "c", "type": "t"}}))
    selected = index.select(GivenFacts({"h.a": "b"}, {"type"}))
    assert selected.matched == ["header"]
    assert selected.unjudged == ["type", "prefix"]
    assert "expected something that can be read" in selected.reason
