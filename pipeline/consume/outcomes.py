"""What a handler says by raising, and what the delivery core makes of it."""

from __future__ import annotations

from pipeline.delivery.verdict import RETRY_AFTER_S_MAX, Fault, FaultKind
from pipeline.errors import DeclarationInvalid, InputError


class Reject(Exception):
    """Raise it for an event that no further attempt will help: it is buried at once, with this text."""


class RetryLater(Exception):
    """Raise it to be tried again, not before ``seconds`` from now (at most an hour); it counts as an attempt."""

    def __init__(self, seconds: float, why: str = "asked for a later attempt") -> None:
        if not 0 <= seconds <= RETRY_AFTER_S_MAX:
            raise DeclarationInvalid("seconds", seconds, f"0 to {RETRY_AFTER_S_MAX:g} seconds")
        self.seconds = seconds
        super().__init__(why)


def fault_of(error: Exception, elapsed_s: float) -> Fault:
    """The fault of an attempt that ended with ``error``. Its text goes into the dead letter: keep secrets out of it."""
    match error:
        case Reject():
            return Fault(FaultKind.REFUSED, str(error), elapsed_s)
        case RetryLater():
            return Fault(FaultKind.RAISED, str(error), elapsed_s, error.seconds)
        case InputError():
            return Fault(FaultKind.UNDECODABLE, str(error), elapsed_s)
    return Fault(FaultKind.RAISED, f"{type(error).__name__}: {error}", elapsed_s)


def timed_out(timeout_s: float, elapsed_s: float) -> Fault:
    """The fault of an attempt that was broken off."""
    return Fault(FaultKind.TIMEOUT, f"not done in {timeout_s:g} s", elapsed_s)
