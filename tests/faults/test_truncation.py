"""An unclean election takes back what was delivered and committed: the subscription stops, and says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from pipeline.embedded import EmbeddedCluster
from tests.e2e.operations import subscribe, until_lag_0, until_state
from tests.e2e.rig import Rig
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]
# One replica is enough to append, and one that was not in sync may lead.
UNSAFE = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}
BEFORE, AFTER, TOLD_S = 20, 30, 60.0


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as made:
        yield made


async def test_a_log_that_became_shorter_than_what_was_committed_stops_its_subscription(
    tmp_path: Path, cluster: EmbeddedCluster, topic_name: str, sink: Sink, told: list[str]
) -> None:
    """Node 1 falls behind, node 0 has more and dies, node 1 comes back and leads: what only node 0 had is gone."""
    rig = Rig(tmp_path, cluster.bootstrap_servers, topic_name[-20:].strip("-"), check_s=1, topic_check_s=1)
    assigned = NewTopic(topic_name, num_partitions=1, replica_assignment=[[1, 2]], config=UNSAFE)
    admin = rig.admin
    admin.create_topics([assigned])[topic_name].result(20)
    ahead, behind = 0, 1
    try:
        async with rig.worker() as node:
            await subscribe(node, topic_name, sink)
            rig.append(topic_name, BEFORE, keys=1)
            await until_lag_0(node)
            await asyncio.to_thread(cluster.kill, behind)
            rig.append(topic_name, AFTER, keys=1, first=BEFORE)
            await until_lag_0(node, timeout_s=40)
            assert len(sink.ids) == BEFORE + AFTER
            await asyncio.to_thread(cluster.kill, ahead)
            await asyncio.to_thread(cluster.restart, behind)
            back_at = time.monotonic()
            reason = await until_state(node, "blocked", timeout_s=TOLD_S)
            assert reason.startswith(f"position-beyond-end: {topic_name}/0"), reason
            told.append(f"unclean election: blocked {time.monotonic() - back_at:.1f} s after a leader was back")
            await rig.table_lines("audit", 1, what="blocked", reason=reason)
            delivered = len(sink.got)
            await asyncio.to_thread(rig.append, topic_name, 5, keys=1, first=BEFORE)
            await asyncio.sleep(1.0)
            assert len(sink.got) == delivered, "offsets that mean something else by now are not gone on from"
    finally:
        await asyncio.gather(*(asyncio.to_thread(partial(cluster.restart, one)) for one in (ahead, behind)))
