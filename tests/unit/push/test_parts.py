"""The bridge's settings check themselves and name the one at fault."""

from __future__ import annotations

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.push.parts import BridgeSettings


def test_the_defaults_hold() -> None:
    assert BridgeSettings().check_s <= 10, "a tool's reset is honoured within 10 s"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instance", "host.example"),
        ("instance", "x" * 101),
        ("static", True),
        ("session_timeout_s", 0.5),
        ("session_timeout_s", 301.0),
        ("drain_s", 28.0),
        ("drain_s", -1.0),
        ("commit_interval_s", 0.0),
        ("check_s", float("nan")),
        ("touch_s", 86_401.0),
        ("take_records_max", 0),
        ("positions_max", 0),
    ],
)
def test_what_cannot_work_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(DeclarationInvalid) as refused:
        BridgeSettings(**{field: value})  # type: ignore[arg-type]  # one field at a time
    assert refused.value.field == f"bridge.{field}"
