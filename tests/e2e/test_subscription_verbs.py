"""What operators do to a subscription while it is delivered: tried, renewed, moved, deleted; on a real broker."""

from __future__ import annotations

import json
from typing import cast

import pytest
from standardwebhooks import Webhook
from starlette.types import ASGIApp

from pipeline.subscriptions import ResetAsked
from tests.e2e.operations import group, subscribe, until_lag_0
from tests.e2e.rig import Rig, until
from tests.fakes.asgi import Caller
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]


async def test_a_live_reset_is_taken_up_and_everything_arrives_again(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 3)
    rig.append(topic_name, 30, keys=10)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        done = await node.resets.reset("hook", ResetAsked(to="earliest"))
        assert done.taken_up
        assert sum(part.count for part in done.plan.parts) == -30
        assert all(part.first_time_ms and part.last_time_ms for part in done.plan.parts)
        await sink.until(lambda s: len(s.got) == 60, 15)
        await until_lag_0(node)
        owners = {part.owner for part in (await node.subscriptions.status("hook")).partitions}
    assert len(owners) == 1 and None not in owners
    assert len(sink.ids) == 30


async def test_the_command_a_plan_tells_does_the_same(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 10, keys=5)
    async with rig.node() as node:
        await subscribe(node, topic_name, sink)
        plan = await node.resets.plan("hook", ResetAsked(to="latest"))
        (command,) = plan.commands
        words = command.partition("$BOOTSTRAP ")[2].split()
        await rig.tool("consumer-groups", *words, "--timeout", "20000")
        committed = await node.offsets.read(group(rig), [(topic_name, 0), (topic_name, 1)])
    assert {place[1]: found.offset for place, found in committed.items()} == {p.partition: p.to for p in plan.parts}


async def test_a_trial_is_signed_as_deliveries_are_and_touches_nothing(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 1)
    async with rig.node() as node:
        secret = await subscribe(node, topic_name, sink, endpoint={"url": sink.url}, format="structured")
        call = Caller(cast("ASGIApp", node.gateway_app()))
        told = (await call("POST", "/v1/subscriptions/hook/test")).json()
        lag = (await node.subscriptions.status("hook")).partitions[0].lag
    assert (told["delivered"], told["status"], lag) == (True, 204, 0)
    (got,) = sink.got
    assert got.webhook_id == told["webhook_id"] and got.webhook_id.startswith("test_")
    Webhook(secret).verify(got.body, got.headers)
    assert json.loads(got.body)["type"] == "pipeline.subscription.test"


async def test_after_a_rotation_deliveries_verify_with_either_secret(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 1)
    async with rig.worker() as node:
        old = await subscribe(node, topic_name, sink)
        new = (await node.subscriptions.secrets.rotate("hook")).shown.secret or ""
        rig.append(topic_name, 1, keys=1)
        await sink.until(lambda s: len(s.acked) == 1, 15)
    for secret in (old, new):
        Webhook(secret).verify(sink.got[0].body, sink.got[0].headers)


async def test_what_operators_do_is_audited_and_told(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 1)
    async with rig.node() as node:
        await subscribe(node, topic_name, sink)
        call = Caller(cast("ASGIApp", node.gateway_app()))
        assert (await call("POST", "/v1/subscriptions/hook/pause")).status == 200
        assert (await call("DELETE", "/v1/subscriptions/hook?forget=true")).status == 204

        async def told() -> bool:
            return len(rig.records(node.happenings.topic)) >= 3

        (line,) = await rig.table_lines("audit", what="subscription-paused")
        await until(told, 10, "operational events")
        types = [dict(one.headers() or [])["ce_type"] for one in rig.records(node.happenings.topic)]
    assert (line["who"], line["before"]["state"], line["after"]["state"]) == ("http 127.0.0.1", "active", "paused")
    assert types == [f"pipeline.subscription.{what}".encode() for what in ("created", "paused", "deleted")]
