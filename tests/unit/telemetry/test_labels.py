"""Labels: whose run and of what kind, in bounded number."""

from __future__ import annotations

import pytest

from pipeline.telemetry.labels import Names, labels_of


@pytest.mark.parametrize(
    ("group", "labels"),
    [
        ("app.hook", ("hook", "live")),
        ("app.hook.replay.5f1c", ("hook", "replay")),
        ("app.hook.redrive.5f1c", ("hook", "redrive")),
        ("app.hook.other.5f1c", ("hook", "live")),
        ("alone", ("alone", "live")),
    ],
)
def test_a_group_tells_whose_run_it_is_and_never_which(group: str, labels: tuple[str, str]) -> None:
    assert labels_of(group) == labels


def test_names_beyond_the_bound_are_other() -> None:
    names = Names(2)
    assert [names.of(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]
