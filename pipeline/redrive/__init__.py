"""Dead letters of a subscription: looked through, and sent to its endpoint once more."""

from __future__ import annotations

from pipeline.redrive.letters import DeadLetterPage, DeadLetters, FiledLetter, Search
from pipeline.redrive.redrives import RedrivePlan, Redrives
from pipeline.redrive.selection import Selection, redriven_by

__all__ = [
    "DeadLetterPage",
    "DeadLetters",
    "FiledLetter",
    "RedrivePlan",
    "Redrives",
    "Search",
    "Selection",
    "redriven_by",
]
