"""Verify: histories written by producer, worker and receiver, and what they prove (`pipeline verify`)."""

from __future__ import annotations

from pipeline.verify.checker import Verified, check
from pipeline.verify.history import HistoryWriter, read_history
from pipeline.verify.lines import Appended, Buried, Committed, Ended, Incident, Line, Received, Sent, Unsure

__all__ = [
    "Appended", "Buried", "Committed", "Ended", "HistoryWriter", "Incident", "Line", "Received", "Sent", "Unsure",
    "Verified", "check", "read_history",
]  # fmt: skip
