"""RFC 3339 texts and milliseconds since 1970."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.moment import ms_from_rfc3339, rfc3339_from_ms


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_what_is_written_is_read_back(at_ms: int) -> None:
    assert ms_from_rfc3339(rfc3339_from_ms(at_ms), field="x") == at_ms


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.0019999Z", 1),
        ("1970-01-01t00:00:01.5z", 1500),
    ],
)
def test_zones_and_fractions_count(text: str, at_ms: int) -> None:
    assert ms_from_rfc3339(text, field="x") == at_ms


@pytest.mark.parametrize(
    "text", ["", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "1970-01-01T25:00:00Z", "now"]
)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="start"):
        ms_from_rfc3339(text, field="start")
