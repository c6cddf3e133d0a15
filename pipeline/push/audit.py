"""Audit: who did what to what, with what was before and after, appended to the audit topic.

The bridge tells of what it did on its own (fenced, a cursor moved, a gap, a run that stopped), every verb of the API
and the command line of what somebody asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import orjson

TABLE = "audit"


class Appends(Protocol):
    def append_soon(self, topic: str, *, key: bytes | None, value: bytes | None) -> bool: ...


class Audit:
    """Appends audit records, keyed by the name; nothing waits for them. ``who`` acts where `tell` names nobody else."""

    def __init__(self, producer: Appends, topic: str, who: str) -> None:
        self._producer, self._topic, self._who = producer, topic, who

    def tell(self, what: str, name: str, /, **facts: object) -> None:
        """``who`` (one of the ``facts``) did ``what`` to ``name``, just now. Verbs give ``before`` and ``after`` (JSON
        values, no secrets).
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts["who"] = facts.get("who") or self._who
        line = orjson.dumps({"at": now, "what": what, "name": name, **facts}, default=str)
        self._producer.append_soon(self._topic, key=name.encode(), value=line)
