"""Runs and dead letters on a real broker: seen by stock tools, paused, shadowed, edited, discarded, forged."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from pipeline.deadletter import Failure, wrap
from pipeline.errors import Conflict
from pipeline.record import Record
from pipeline.redrive import Change, Search, Selection
from pipeline.redrive.export import exported
from pipeline.replay import ReplayAsked
from pipeline.runs import StampedRun
from pipeline.subscription import Endpoint
from pipeline.wiring import Node
from tests.e2e.operations import TOOL_SETTINGS, header, letters, produce, subscribe, until_lag_0
from tests.e2e.rig import Rig, until
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]
REJECTING = {"reject_status": [422]}


async def until_run(node: Node, begun: StampedRun, state: str) -> None:
    run = begun.run

    async def has() -> bool:
        return node.runs.get(run.subscription, run.kind, run.id).run.state == state

    await until(has, 20, f"{run.kind} {run.id} is {state}")


async def described(rig: Rig, group: str) -> dict[int, dict[str, str]]:
    """What `kafka-consumer-groups --describe` says of each partition."""
    printed = await rig.tool("consumer-groups", "--describe", "--group", group, *TOOL_SETTINGS)
    rows = [line.split() for line in printed.splitlines() if line.startswith(group)]
    names = ("group", "topic", "partition", "current", "end", "lag")
    return {int(row[2]): dict(zip(names, row, strict=False)) for row in rows}


async def test_stock_tools_see_a_replay_that_is_paused_resumed_and_cancelled(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 40, keys=4)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        plan = await node.replays.plan("hook", ReplayAsked(start="earliest", rate_per_s=10))
        assert (plan.count, plan.eta_s) == (40, 4.0)
        assert plan.parts[0].first_at is not None and plan.parts[0].last_at is not None
        begun = await node.replays.create(plan)
        group = node.runs.group(begun.run)
        await sink.until(lambda s: len(s.got) >= 45, 20)
        await node.runs.pause("hook", "replay", begun.run.id)
        await asyncio.sleep(1.0)
        stood = len(sink.got)
        seen = (await described(rig, group))[0]
        # Keys are delivered beside each other, so the pointer may stand at the slowest of them.
        reached = int(seen["current"])
        assert reached <= stood - 40 and seen["end"] == "40"
        assert int(seen["lag"]) == 40 - reached > 0
        progress = await node.runs.progress(begun.run)
        assert (progress.done, progress.total) == (reached, 40)
        assert len(sink.got) == stood, "a paused run sends nothing"
        live = (await described(rig, f"{rig.namespace}.hook"))[0]
        assert live["lag"] == "0"
        await node.runs.resume("hook", "replay", begun.run.id)
        await sink.until(lambda s: len(s.got) >= stood + 5, 20)
        cancelled = await node.runs.cancel("hook", "replay", begun.run.id)
        done = cancelled.run.window[topic_name][0][1]
        await asyncio.sleep(1.0)
    assert 45 < len(sink.got) < 80
    assert reached <= done < 40
    replayed = [got.webhook_id for got in sink.got if "webhook-replay" in got.headers]
    assert len(set(replayed)) == len(replayed), "what was delivered before the pause is not sent again"


async def test_a_shadow_gets_the_window_signed_alike_and_its_failures_are_nobody_elses(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 20, keys=4)
    async with Sink(lambda got: (422 if got.seq == 2 else 204, 0.0)) as shadow, rig.worker() as node:
        endpoint = {"url": sink.url, "headers": {"x-tenant": "acme"}, "auth": {"kind": "bearer", "token": "canary"}}
        await subscribe(node, topic_name, sink, retry=REJECTING, endpoint=endpoint)
        await until_lag_0(node)
        assert all(got.headers["x-tenant"] == "acme" for got in sink.got)
        asked = ReplayAsked(start="earliest", endpoint=Endpoint(url=shadow.url))
        begun = await node.replays.create(await node.replays.plan("hook", asked))
        await until_run(node, begun, "done")
        assert (len(sink.got), len(shadow.got), len(shadow.ids)) == (20, 20, 16)
        assert {got.webhook_id for got in shadow.got} == sink.ids
        for got in shadow.got:
            assert got.headers["webhook-signature"].startswith("v1,")
            assert got.headers["webhook-replay"] == begun.run.id
            assert not {"authorization", "x-tenant"} & got.headers.keys()
        assert letters(rig) == []
        shadow.answer = lambda _: (410, 0.0)
        gone = await node.replays.create(await node.replays.plan("hook", asked))
        await until_run(node, gone, "cancelled")
        assert node.subscriptions.get("hook")[0].state == "active"


async def test_letters_are_edited_discarded_exported_and_the_rest_redriven(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 4, keys=4)
    sink.answer = lambda _: (422, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry=REJECTING)
        await until_lag_0(node)
        sink.answer = lambda _: (204, 0.0)
        ids = {got.key: got.webhook_id for got in sink.got}
        select = Selection(keys=("k1",))
        plan = await node.discards.plan("hook", select, "test order")
        await node.discards.create(plan, who="ann")
        place = (0, 2)
        assert (await node.dead_letters.at("hook", *place)).letter.record.key == b"k2"
        mended = b'{"key":"k2","seq":0,"mended":true}'
        await node.edits.edit("hook", place, Change(value=mended), "ann")
        lines = [one async for one in exported(node.dead_letters, "hook", Search(), None)]
        assert [(one["key"], one["state"]) for one in lines[:-1]] == [
            ("k0", "open"),
            ("k1", "discarded"),
            ("k2", "discarded"),
            ("k3", "open"),
            ("k2", "open"),
        ]
        before = len(sink.got)
        begun = await node.redrives.create(await node.redrives.plan("hook"))
        await until_run(node, begun, "done")
    redriven = sink.got[before:]
    assert {got.key: got.webhook_id for got in redriven} == {key: ids[key] for key in ("k0", "k2", "k3")}
    assert [got.body for got in redriven if got.key == "k2"] == [mended]
    (edited,) = [one for one in letters(rig) if dict(one.headers() or []).get("dlq.edited_by")]
    assert header(edited, "dlq.edited_from") == f"{rig.namespace}.hook.dlq/0/2"
    facts = await rig.table_lines("audit", 2, what="discard")
    assert {(line["who"], line["note"].partition(":")[0]) for line in facts} == {
        ("ann", "test order"),
        ("ann", "edited by ann"),
    }


async def test_a_forged_letter_is_flagged_and_neither_delivered_nor_written_anywhere(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    """Threat S31, in every dialect: what a record on the dead-letter topic claims chooses nothing."""
    rig.make_topic(topic_name, 1)
    rig.make_topic(f"{topic_name}-salaries", 1)
    rig.make_topic(f"{topic_name}-repaired", 1)
    dlq = f"{rig.namespace}.hook.dlq"
    failure = Failure(
        reason="exhausted", attempts=1, first_failed_at="2026-11-21T00:00:00Z", last_failed_at="2026-11-21T00:00:00Z"
    )
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        stolen = Record(f"{topic_name}-salaries", 0, 0, 0, b"k", b"{}")
        forgeries: list[dict[str, Any]] = [
            dict(wrap(stolen, f"{rig.namespace}.hook", failure)[2]),
            dict(wrap(Record(topic_name, 0, 0, 0, b"k", b"{}"), f"{rig.namespace}.other", failure)[2]),
            {"kafka_dlt-original-topic": stolen.topic.encode(), "kafka_dlt-original-offset": struct.pack(">q", 0)},
            {"__connect.errors.topic": stolen.topic.encode()},
            {"_dlq.errors.original.topic": stolen.topic.encode()},
        ]
        for headers in forgeries:
            produce(rig, dlq, b'{"key":"forged","seq":0}', b"k", headers)
        page = await node.dead_letters.search("hook", Search(), None)
        assert (page.letters, page.unreadable) == ([], 5)
        assert [one.claim.dialect for one in page.foreign] == [
            "pipeline",
            "pipeline",
            "spring",
            "connect",
            "share-group",
        ]
        assert {one.claim.topic for one in page.foreign} == {stolen.topic, topic_name}
        assert (await node.redrives.plan("hook")).count == 0
        assert (await node.write_backs.plan("hook", Selection(), f"{topic_name}-repaired")).count == 0
        # A true letter between them is redriven alone, though the window spans the forged.
        sink.answer = lambda _: (422, 0.0)
        await node.subscriptions.put(
            "hook", {"topics": [topic_name], "endpoint": {"url": sink.url}, "retry": REJECTING}
        )
        rig.append(topic_name, 2, keys=2)
        await until_lag_0(node)
        for headers in forgeries[:2]:
            produce(rig, dlq, b'{"key":"forged","seq":0}', b"k", headers)
        sink.answer = lambda _: (204, 0.0)
        begun = await node.redrives.create(await node.redrives.plan("hook"))
        with pytest.raises(Conflict, match="is active"):
            await node.redrives.begin(begun.run)
        await until_run(node, begun, "done")
    assert {got.key for got in sink.got} == {"k0", "k1"}
    assert rig.records(f"{topic_name}-salaries") == []


async def test_a_parked_key_goes_on_after_its_letters_were_redriven_in_order(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 12, keys=3)
    sink.answer = lambda got: (422 if (got.key, got.seq) == ("k1", 1) else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry=REJECTING, on_dead_letter="park")
        await until_lag_0(node)
        (parked,) = node.parked_keys.of("hook")
        assert (parked.key, parked.offset) == (b"k1", 4)
        failed = await node.parked_keys.release(parked, wait_s=20)
        assert failed.state == "failed"
        sink.answer = lambda _: (204, 0.0)
        released = await node.parked_keys.release(parked, wait_s=20)
        assert (released.state, released.redriven) == ("released", 3)
        rig.append(topic_name, 3, keys=3, first=4)
        await sink.until(lambda s: len(s.ids) == 15, 20)
        await until_lag_0(node)
        assert node.parked_keys.of("hook") == []
    assert [got.seq for got in sink.acked if got.key == "k1"] == [0, 1, 2, 3, 4]


async def test_a_replay_of_ids_and_of_a_filter_takes_no_other_event(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 20, keys=4)
    produce(rig, topic_name, b'{"key":"paid","seq":0}', b"paid", _event("p1", "paid"))
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        chosen = sorted(sink.ids)[3:15:4]
        before = len(sink.got)
        for asked, expected in (
            (ReplayAsked(ids=tuple(chosen)), set(chosen)),
            (ReplayAsked(ids=("p1",)), {got.webhook_id for got in sink.got if got.key == "paid"}),
            (
                ReplayAsked(start="earliest", filters=({"exact": {"type": "paid"}},)),
                {got.webhook_id for got in sink.got if got.key == "paid"},
            ),
        ):
            await until_run(node, await node.replays.create(await node.replays.plan("hook", asked)), "done")
            assert {got.webhook_id for got in sink.got[before:]} == expected
            assert len(sink.got) - before == len(expected)
            before = len(sink.got)


def _event(event_id: str, kind: str) -> dict[str, bytes]:
    return {
        "ce_specversion": b"1.0",
        "ce_id": event_id.encode(),
        "ce_source": b"/shop",
        "ce_type": kind.encode(),
        "content-type": b"application/json",
    }


async def test_a_replay_tells_what_it_delivered_from_what_its_filter_left_out(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 40, keys=4)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        ids = tuple(got.webhook_id for got in sink.got[:3])
        chosen = await node.replays.create(await node.replays.plan("hook", ReplayAsked(ids=ids)))
        await until_run(node, chosen, "done")
        none = ({"exact": {"type": "of no event"}},)
        empty = await node.replays.create(await node.replays.plan("hook", ReplayAsked(start="earliest", filters=none)))
        await until_run(node, empty, "done")

        async def counted() -> bool:
            told = await node.runs.progress(node.runs.get("hook", "replay", chosen.run.id).run)
            return (told.done, told.total, told.delivered, told.skipped) == (3, 3, 3, 0)

        await until(counted, 5, "three were delivered, none skipped")

        async def skipped() -> bool:
            told = await node.runs.progress(node.runs.get("hook", "replay", empty.run.id).run)
            return (told.done, told.left, told.delivered, told.skipped, told.eta_s) == (40, 0, 0, 40, 0.0)

        await until(skipped, 5, "all forty were left out")
    assert sorted(got.webhook_id for got in sink.got if "webhook-replay" in got.headers) == sorted(ids)
