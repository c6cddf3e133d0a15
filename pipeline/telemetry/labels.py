"""Labels: names that operators chose, bounded in number, so that nobody makes a time series per whatever they like."""

from __future__ import annotations

from typing import NamedTuple

OTHER = "other"
NAMES_MAX = 2_000
_KINDS = ("replay", "redrive")


class RunLabels(NamedTuple):
    """Whose run, and which kind: ``live``, ``replay`` or ``redrive``; never a run's id."""

    subscription: str
    kind: str


class Names:
    """The first `NAMES_MAX` names of one label; all later ones are `OTHER`."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self._names_max = names_max
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        if name in self._known:
            return name
        if len(self._known) >= self._names_max:
            return OTHER
        self._known.add(name)
        return name


def labels_of(group: str) -> RunLabels:
    """The labels of a run by its group, ``<namespace>.<subscription>[.<kind>.<id>]`` (no part has a dot in it)."""
    parts = group.split(".")
    if len(parts) < 2:
        return RunLabels(group, "live")
    return RunLabels(parts[1], parts[2] if len(parts) > 2 and parts[2] in _KINDS else "live")
