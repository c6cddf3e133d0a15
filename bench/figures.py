"""Figures with their targets, and the one table that shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import msgspec

NO_TARGET = "–"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured thing in ``unit``. ``at_most`` or ``at_least`` is what it should be; neither: it is told only.
    ``rounds`` are the values it is the median of, where there was more than one.
    """

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    rounds: Sequence[float] = ()

    @property
    def reached(self) -> bool | None:
        """None: nothing was aimed at."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one part came to: ``told`` in its own words (JSON), ``faults`` that must not be, ``skipped`` what was not
    measured and why.
    """

    bench: str
    told: dict[str, Any]
    figures: list[Figure]
    faults: list[str] = []
    skipped: list[str] = []


def median_of(what: str, rounds: Sequence[float], **fields: Any) -> Figure:
    """The median of ``rounds`` (not empty), which are kept to show how far they lie apart."""
    return Figure(what=what, value=median(rounds), rounds=tuple(rounds), **fields)


def table(reports: Iterable[Report]) -> list[str]:
    """A line per figure: what, value, lowest to highest round, target, whether it was reached."""
    rows = [("", "figure", "rounds", "target", "")]
    notes: list[str] = []
    for report in reports:
        rows.extend(_row(report.bench, figure) for figure in report.figures)
        notes += [f"skipped: {what}" for what in report.skipped]
        notes += [f"fault: {report.bench}: {fault}" for fault in report.faults]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"{what:{widths[0]}}  {value:>{widths[1]}}  {rounds:>{widths[2]}}  {target:>{widths[3]}}  {reached}".rstrip()
        for what, value, rounds, target, reached in rows
    ] + notes


def _row(bench: str, figure: Figure) -> tuple[str, str, str, str, str]:
    lowest_to_highest = ""
    if len(figure.rounds) > 1:
        lowest_to_highest = f"{_text(min(figure.rounds))} to {_text(max(figure.rounds))}"
    target = NO_TARGET
    if figure.at_most is not None:
        target = f"≤ {_text(figure.at_most)}"
    elif figure.at_least is not None:
        target = f"≥ {_text(figure.at_least)}"
    reached = {True: "reached", False: "not reached", None: ""}[figure.reached]
    value = f"{_text(figure.value)} {figure.unit}".rstrip()
    return f"{bench}: {figure.what}", value, lowest_to_highest, target, reached


def _text(value: float) -> str:
    """Three digits or all before the point: ``0.83``, ``14.2``, ``12,345``."""
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
