"""What a replay may be asked for, and what is said of what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid, FilterInvalid
from pipeline.replay import Bound, ReplayAsked, duration_ms
from pipeline.subscription import BearerAuth, Endpoint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT1H", 3600), ("P1DT2H3M4S", 93784), ("P7D", 604800), ("90m", 5400), ("2w", 1209600), ("45s", 45), ("PT0S", 0)],
)
def test_durations_are_iso_8601_or_short(text: str, seconds: int) -> None:
    assert duration_ms(text, "/from_duration") == seconds * 1000


@pytest.mark.parametrize("text", ["", "P", "PT", "P1H", "1y", "-5m", "PT1.5H", "５m", "1h30m"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(DeclarationInvalid, match="/from_duration"):
        duration_ms(text, "/from_duration")


def test_a_beginning_and_an_end_are_read() -> None:
    asked = ReplayAsked(start="2026-11-21T00:00:00+01:00", until_offset={"orders/0": 7})
    assert asked.begin() == Bound(kind="time", number=1_795_215_600_000)
    assert asked.end() == Bound(kind="offsets", offsets={"orders/0": 7})
    assert ReplayAsked(ids=("a",)).begin() == Bound(kind="earliest")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "/from"),
        ({"start": "earliest", "shift": -1}, "/shift"),
        ({"start": "2026-11-21T00:00:00"}, "/from"),
        ({"start": "yesterday"}, "/from"),
        ({"from_offset": -1}, "/from_offset"),
        ({"from_offset": {}}, "/from_offset"),
        ({"from_offset": {"orders/0": -1}}, "/from_offset/orders~10"),
        ({"start": "earliest", "until": "2026-01-01T00:00:00Z", "until_offset": 4}, "/until_offset"),
        ({"start": "earliest", "rate_per_s": 0}, "/rate_per_s"),
        ({"ids": ("x",) * 4001}, "/ids"),
        ({"ids": ("",)}, "/ids"),
        (
            {"start": "earliest", "endpoint": Endpoint(url="https://x.example/", auth=BearerAuth(token="t"))},
            "/endpoint/auth",
        ),
        (
            {"start": "earliest", "endpoint": Endpoint(url="https://x.example/", secret_headers={"x-key": "s"})},
            "/endpoint/auth",
        ),
        ({"start": "earliest", "endpoint": Endpoint(url="https://x.example/", handshake=True)}, "/endpoint/handshake"),
        (
            {"start": "earliest", "endpoint": Endpoint(url="https://x.example/", headers={"X-Api-Key": "s"})},
            "/endpoint/headers/X-Api-Key",
        ),
    ],
)
def test_what_cannot_be_asked_is_named(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(DeclarationInvalid) as raised:
        ReplayAsked(**wrong)
    assert raised.value.field == field


def test_a_filter_that_cannot_be_compiled_is_refused() -> None:
    with pytest.raises(FilterInvalid, match="/filters/0"):
        ReplayAsked(start="earliest", filters=({"like": {"type": "x"}},))
