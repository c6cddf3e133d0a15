"""Rows of the runs table: bounded readings of a subscription, each with a consumer group that holds its pointer."""

from __future__ import annotations

from pipeline.runs.keeping import Kept
from pipeline.runs.progress import Progress, eta_s_of
from pipeline.runs.rows import (
    Kind,
    RunNotFound,
    RunUnreadable,
    StampedRun,
    Window,
    cancelled_at,
    cut_to,
    in_rows,
    picked_in,
    places_of,
    total_of,
)
from pipeline.runs.runs import Runs
from pipeline.runs.settings import RunSettings

__all__ = [
    "Kept",
    "Kind",
    "Progress",
    "RunNotFound",
    "RunSettings",
    "RunUnreadable",
    "Runs",
    "StampedRun",
    "Window",
    "cancelled_at",
    "cut_to",
    "eta_s_of",
    "in_rows",
    "picked_in",
    "places_of",
    "total_of",
]
