"""Audit: who did what to what, with the facts, keyed by the name."""

from __future__ import annotations

import json
import re
from typing import cast

from pipeline.kafka.producer import Producer
from pipeline.push.audit import Audit
from tests.fakes.bridge import AUDIT, FakeBridge


def test_a_line_says_when_who_what_and_to_what() -> None:
    bridge = FakeBridge()
    Audit(cast("Producer", bridge.producer), AUDIT, "w1").tell("gap", "app.hook", first=3, until=9)
    (record,) = bridge.log.topics[AUDIT].partitions[0].records
    line = json.loads(record.value or b"")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("at"))
    assert line == {"who": "w1", "what": "gap", "name": "app.hook", "first": 3, "until": 9}
    assert record.key == b"app.hook"


def test_nothing_waits_for_it_and_nothing_fails_with_it() -> None:
    bridge = FakeBridge()
    bridge.producer.down = True
    Audit(cast("Producer", bridge.producer), AUDIT, "w1").tell("gap", "app.hook")
    assert bridge.audited() == []
