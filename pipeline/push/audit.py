"""Audit: what the bridge did on its own to state that operators care for, appended to the audit topic."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from pipeline.kafka.producer import Producer

TABLE = "audit"


class Audit:
    """Appends audit records; nothing waits for them."""

    def __init__(self, producer: Producer, topic: str, who: str) -> None:
        self._producer, self._topic, self._who = producer, topic, who

    def tell(self, what: str, name: str, **facts: object) -> None:
        """``who`` did ``what`` to ``name``, just now."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = orjson.dumps({"at": now, "who": self._who, "what": what, "name": name, **facts})
        self._producer.append_soon(self._topic, key=name.encode(), value=line)
