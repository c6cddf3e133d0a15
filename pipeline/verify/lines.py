"""The lines of a history: one JSON object each, told apart by ``what``. ``at`` is unix seconds, ``by`` who wrote it.

Who writes which:

* the **producer** writes `Appended` when its append is acknowledged, `Unsure` when it will never know;
* the **worker** writes `Sent` before an attempt, `Ended` after it, `Buried` when a dead letter is acknowledged,
  `Committed` *before* it commits, and again when that is acknowledged;
* the **receiver** writes `Received` *before* it answers;
* whoever plants a fault writes `Incident` before it happens.

Events are named by their webhook id, which says topic, partition and offset on every path.
"""

from __future__ import annotations

import msgspec


class _Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag=str.lower):
    at: float
    by: str = ""


class Appended(_Line, frozen=True):
    """The log has it: it must be delivered or buried."""

    id: str
    key: str | None = None


class Unsure(_Line, frozen=True):
    """An append without an answer: the event may be on the log or not."""

    key: str | None = None


class Sent(_Line, frozen=True):
    """An attempt begins."""

    id: str
    attempt: int


class Ended(_Line, frozen=True):
    """An attempt ended; status 0: no reply came."""

    id: str
    attempt: int
    status: int


class Buried(_Line, frozen=True):
    """Its dead letter is acknowledged by all in-sync replicas."""

    id: str


class Committed(_Line, frozen=True):
    """About to be committed, then ``acknowledged``: everything of this partition below ``offset`` is finished.
    ``topic``: the beginning of its ids.
    """

    topic: str
    partition: int
    offset: int
    acknowledged: bool = False


class Received(_Line, frozen=True):
    """The receiver answers ``status`` next."""

    id: str
    status: int
    key: str | None = None


class Incident(_Line, frozen=True):
    """A fault begins; it may cost this many second deliveries, and no more.

    ``again_max``: attempts begun although what they send was committed. Only a process frozen between asking whether it
    may send and sending has any, as many as it begins in one turn.
    """

    name: str
    duplicates_max: int = 0
    again_max: int = 0


Line = Appended | Unsure | Sent | Ended | Buried | Committed | Received | Incident
