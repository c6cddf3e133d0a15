"""Filters: which events a subscription wants.

`compile_filters` turns what is declared into a `Filter`, `FilterIndex` finds those of many filters that hold.
"""

from pipeline.filters.compiling import (
    COMPARISONS_MAX,
    DEPTH_MAX,
    EXPRESSIONS_MAX,
    VALUE_CHARACTERS_MAX,
    Anchor,
    Filter,
    Predicate,
    check_no_avro,
    compile_filters,
)
from pipeline.filters.data import DATA_BYTES_MAX, NOTHING, parse_data, text_at
from pipeline.filters.index import FilterIndex, Selected
from pipeline.filters.keys import Facts, Key, Path, key_of

__all__ = [
    "COMPARISONS_MAX",
    "DATA_BYTES_MAX",
    "DEPTH_MAX",
    "EXPRESSIONS_MAX",
    "NOTHING",
    "VALUE_CHARACTERS_MAX",
    "Anchor",
    "Facts",
    "Filter",
    "FilterIndex",
    "Key",
    "Path",
    "Predicate",
    "Selected",
    "check_no_avro",
    "compile_filters",
    "key_of",
    "parse_data",
    "text_at",
]
