"""Dead letters of a subscription: looked through, delivered once more, changed, given up, or written back."""

from __future__ import annotations

from pipeline.redrive.discards import DiscardPlan, Discards
from pipeline.redrive.edits import Change, Edits
from pipeline.redrive.fates import Fate, Fates, FiledLetter, State
from pipeline.redrive.judging import Foreign
from pipeline.redrive.letters import DeadLetterPage, DeadLetters, LetterNotFound, Search
from pipeline.redrive.parked import ParkedKeyNotFound, ParkedKeys, Released
from pipeline.redrive.redrives import RedriveAsked, RedrivePlan, Redrives
from pipeline.redrive.selection import Selection, type_of
from pipeline.redrive.stats import Stats, Tally
from pipeline.redrive.writebacks import WriteBackPlan, WriteBacks

__all__ = [
    "Change",
    "DeadLetterPage",
    "DeadLetters",
    "DiscardPlan",
    "Discards",
    "Edits",
    "Fate",
    "Fates",
    "FiledLetter",
    "Foreign",
    "LetterNotFound",
    "ParkedKeyNotFound",
    "ParkedKeys",
    "RedriveAsked",
    "RedrivePlan",
    "Redrives",
    "Released",
    "Search",
    "Selection",
    "State",
    "Stats",
    "Tally",
    "WriteBackPlan",
    "WriteBacks",
    "type_of",
]
