"""Dead letters: ours as they are written and read, and what those of others claim."""

from __future__ import annotations

from pipeline.deadletter.dialects import Claim, claim_of
from pipeline.deadletter.letter import (
    ERROR_BYTES_MAX,
    REASONS,
    DeadLetter,
    Edit,
    Failure,
    Reason,
    one_line,
    unwrap,
    wrap,
)

__all__ = [
    "ERROR_BYTES_MAX",
    "REASONS",
    "Claim",
    "DeadLetter",
    "Edit",
    "Failure",
    "Reason",
    "claim_of",
    "one_line",
    "unwrap",
    "wrap",
]
