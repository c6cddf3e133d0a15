"""All eight modes of the stock tool's reset, on a paused subscription and on one that is being delivered."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.e2e.operations import TOOL_SETTINGS, group, subscribe, until_lag_0
from tests.e2e.rig import Rig
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

HOUR_MS = 3_600_000


def append_aged(rig: Rig, topic: str, first: int, count: int, hours_ago: float) -> None:
    """``count`` events that were made ``hours_ago``."""
    producer = Producer({"bootstrap.servers": rig.servers, "enable.idempotence": True})
    at = int(time.time() * 1000 - hours_ago * HOUR_MS)
    for number in range(first, first + count):
        producer.produce(topic, str(number), "k", partition=0, timestamp=at)
    assert producer.flush(20) == 0


def words(mode: str, topic: str, folder: Path) -> list[str]:
    if mode == "from-file":
        file = folder / "offsets.csv"
        file.write_text(f"{topic},0,12\n")
        return ["--from-file", str(file)]
    then = datetime.fromtimestamp(time.time() - 3 * 3600, UTC).isoformat(timespec="milliseconds")
    value = {
        "to-datetime": [then.replace("+00:00", "")],
        "by-duration": ["PT7H"],
        "to-offset": ["7"],
        "shift-by": ["-4"],
    }
    return ["--topic", topic, f"--{mode}", *value.get(mode, [])]


@pytest.mark.parametrize(
    ("mode", "paused_at", "live_at"),
    [
        ("to-earliest", 0, 0),
        ("to-latest", 33, 33),
        ("to-datetime", 20, 20),
        ("by-duration", 10, 10),
        ("to-offset", 7, 7),
        ("shift-by", 26, 29),
        ("to-current", 30, 33),
        ("from-file", 12, 12),
    ],
)
async def test_a_reset_is_honoured_exactly_paused_and_live(
    rig: Rig, topic_name: str, sink: Sink, tmp_path: Path, mode: str, paused_at: int, live_at: int
) -> None:
    """Thirty events of three ages are delivered, three more come while it is paused."""
    rig.make_topic(topic_name, 1)
    for first, hours_ago in ((0, 10), (10, 5), (20, 1)):
        append_aged(rig, topic_name, first, 10, hours_ago)

    async def reset() -> None:
        where = words(mode, topic_name, tmp_path)
        told = await rig.tool(
            "consumer-groups", "--group", group(rig), "--reset-offsets", *where, "--execute", *TOOL_SETTINGS
        )
        assert "Error" not in told, told

    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        await node.subscriptions.pause("hook")
        append_aged(rig, topic_name, 30, 3, 0)
        await reset()
        assert await rig.committed("hook", topic_name, 1) == {0: paused_at}
        await node.subscriptions.resume("hook")
        await sink.until(lambda s: len(s.acked) == 30 + 33 - paused_at, 10)
        await until_lag_0(node)
        seen = [int(got.body) for got in sink.acked]
        assert seen[30:] == list(range(paused_at, 33))
        await reset()
        await rig.table_lines("audit", 1, what="cursor-moved", to=live_at)
        await sink.until(lambda s: len(s.acked) == len(seen) + 33 - live_at, 10)
        await until_lag_0(node)
    assert [int(got.body) for got in sink.acked][len(seen) :] == list(range(live_at, 33))
