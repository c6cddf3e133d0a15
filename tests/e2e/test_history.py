"""A bridge with `bridge.history_file`: what it writes is what happened, dead letters too."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.receiver import ReceiverSettings
from pipeline.testing import WebhookReceiver
from pipeline.verify import Appended, HistoryWriter, check, read_history
from pipeline.webhookid import id_prefix
from tests.broker_source import Kafka
from tests.e2e.rig import Rig

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]


async def test_a_bridges_history_is_found_good(tmp_path: Path, kafka: Kafka, topic_name: str) -> None:
    rig = Rig(
        tmp_path, kafka.bootstrap_servers, topic_name[-20:].strip("-"), history_file='"worker.jsonl"', no_waiting="true"
    )
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 20, keys=4)
    heard = HistoryWriter(tmp_path / "receiver.jsonl", "receiver")
    async with WebhookReceiver(record=heard) as receiver, rig.worker() as node:
        prefix = id_prefix((await node.catalog.get(topic_name)).topic_id)
        receiver.settings = ReceiverSettings(poison=frozenset({f"{prefix}0_3"}))
        declared = {"topics": [topic_name], "start": "earliest", "endpoint": {"url": receiver.url}}
        outcome = await node.subscriptions.put("hook", declared)
        assert outcome.shown.secret is not None
        receiver.trust(outcome.shown.secret)
        await rig.until_lag_0("hook")
    heard.close()
    appended = [Appended(at=0.0, id=f"{prefix}0_{offset}", key=f"k{offset % 4}") for offset in range(20)]
    written = [line for name in ("worker", "receiver") for line in read_history(tmp_path / f"{name}.jsonl")]
    verified = check([*appended, *written])
    assert verified.findings == ()
    assert (verified.delivered, verified.buried) == (19, 1)
