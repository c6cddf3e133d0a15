"""Audit: what the bridge did on its own to state that operators care for, appended to the audit topic."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from pipeline.kafka.producer import Producer

TOPIC = "_pipeline-audit"


def audit(producer: Producer, who: str, what: str, name: str, **facts: object) -> None:
    """Append one audit record; nothing waits for it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = orjson.dumps({"at": now, "who": who, "what": what, "name": name, **facts})
    producer.append_soon(TOPIC, key=name.encode(), value=line)
