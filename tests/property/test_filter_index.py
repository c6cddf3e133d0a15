"""The filter index selects what evaluating every filter selects, whatever came and went before."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.filters import Filter, FilterIndex, compile_filters, key_of
from tests.fakes.facts import GivenFacts

WRITTEN = ("type", "tenant", "h.a", "$.a", "$.b[0]")
TEXTS = ("x", "xy", "y")
pairs = st.dictionaries(st.sampled_from(WRITTEN), st.sampled_from(TEXTS), min_size=1, max_size=2)
expressions: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.builds(lambda dialect, given: {dialect: given}, st.sampled_from(("exact", "exact", "prefix", "suffix")), pairs),
    lambda inner: st.one_of(
        st.builds(lambda one: {"not": one}, inner),
        st.builds(lambda dialect, many: {dialect: many}, st.sampled_from(("all", "any")), st.lists(inner, min_size=1)),
    ),
    max_leaves=5,
)
declared = st.one_of(st.none(), st.lists(expressions, max_size=3))
keys = st.sampled_from([key_of(written, "") for written in WRITTEN])
events = st.builds(GivenFacts, st.dictionaries(keys, st.sampled_from(TEXTS)), st.frozensets(keys, max_size=2))


def evaluated(members: dict[int, Filter | None], facts: GivenFacts) -> tuple[set[int], set[int]]:
    matched, unjudged = set(), set()
    for member, wanted in members.items():
        try:
            if wanted is None or wanted.holds(facts):
                matched.add(member)
        except InputError:
            unjudged.add(member)
    return matched, unjudged


@given(st.lists(st.one_of(declared, st.integers(0, 9)), max_size=12), st.lists(events, min_size=1, max_size=4))
def test_the_index_selects_as_evaluation_does(doings: list[Any], shown: list[GivenFacts]) -> None:
    """``doings``: a filter is added, a number removes the member that has it."""
    index: FilterIndex[int] = FilterIndex()
    members: dict[int, Filter | None] = {}
    for number, doing in enumerate(doings):
        if isinstance(doing, int):
            index.remove(doing)
            members.pop(doing, None)
        else:
            members[number] = None if doing is None else compile_filters(doing)
            index.add(number, members[number])
    assert len(index) == len(members)
    for facts in shown:
        selected = index.select(facts)
        assert (set(selected.matched), set(selected.unjudged)) == evaluated(members, facts)
        assert len(selected.matched) + len(selected.unjudged) == len({*selected.matched, *selected.unjudged})
