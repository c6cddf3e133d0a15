"""Side runs whose worker is killed -9 between an operator's verbs: they go on where they stood, and end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipeline.errors import Conflict
from pipeline.redrive import RedriveAsked, Selection
from pipeline.replay import ReplayAsked
from tests.broker_source import Kafka
from tests.e2e.operations import letters, subscribe, until_lag_0
from tests.e2e.rig import Rig
from tests.e2e.test_runs_broker import until_run
from tests.sink import Got, Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]
EVENTS, KEYS = 300, 30


@pytest.fixture
def rig(tmp_path: Path, kafka: Kafka, topic_name: str) -> Rig:
    """A static member is back at once after it was killed."""
    made = Rig(tmp_path, kafka.bootstrap_servers, topic_name[-20:].strip("-"), instance='"one"', static="true")
    made.make_topic(topic_name, 2)
    made.append(topic_name, EVENTS, keys=KEYS)
    return made


def of(sink: Sink, run: str) -> list[str]:
    """The ids acknowledged for a run."""
    return [got.webhook_id for got in sink.acked if got.headers.get("webhook-replay") == run]


def times(ids: Iterable[str]) -> int:
    """How many came more than once."""
    found = list(ids)
    return len(found) - len(set(found))


@pytest.mark.slow
async def test_a_replay_is_paused_resumed_and_cancelled_while_its_worker_is_killed(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    async with rig.node() as node:
        await subscribe(node, topic_name, sink)
        with rig.bridge() as process:
            await until_lag_0(node, timeout_s=30)
            everything = sink.ids
            asked = ReplayAsked(start="earliest", rate_per_s=100)
            begun = await node.replays.create(await node.replays.plan("hook", asked))
            run = begun.run
            await sink.until(lambda s: len(of(s, run.id)) >= 40, 20)
            process.kill()
        await node.runs.pause("hook", "replay", run.id)
        stood = len(of(sink, run.id))
        with rig.bridge() as process:
            again = (await node.replays.create(await node.replays.plan("hook", asked))).run
            await sink.until(lambda s: len(of(s, again.id)) >= 20, 20)
            assert len(of(sink, run.id)) <= stood + 1, "it is paused, also for whoever comes back"
            await node.runs.resume("hook", "replay", run.id)
            await sink.until(lambda s: len(of(s, run.id)) >= stood + 40, 20)
            process.kill()
        cancelled = (await node.runs.cancel("hook", "replay", again.id)).run
        stood = len(of(sink, again.id))
        with rig.bridge():
            await until_run(node, begun, "done")
        assert set(of(sink, run.id)) == everything and len(everything) == EVENTS
        assert times(of(sink, run.id)) <= 2 * 100, "what was sent and not committed at two kills, at 100 a second"
        assert len(of(sink, again.id)) <= stood + 1 and cancelled.state == "cancelled"
        progress = await node.runs.progress(node.runs.get("hook", "replay", run.id).run)
        assert (progress.done, progress.left) == (EVENTS, 0)
        assert progress.skipped is not None and progress.skipped <= 2 * 100, "two seconds' counts died with workers"


async def test_a_redrive_asked_for_twice_and_killed_midway_takes_each_letter_once(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    def refuses(_: Got) -> tuple[int, float]:
        return 422, 0.0

    sink.answer = refuses
    async with rig.node() as node, rig.node() as other:
        await subscribe(node, topic_name, sink, retry={"reject_status": [422]})
        with rig.bridge() as process:
            await until_lag_0(node, timeout_s=30)
            sink.answer = lambda _: (204, 0.02)
            asked = RedriveAsked(rate_per_s=150)
            plans = [await one.redrives.plan("hook", asked) for one in (node, other)]
            discards = await node.discards.plan("hook", Selection(reasons=("rejected_4xx",)), "why")
            assert [plan.count for plan in plans] == [EVENTS, EVENTS] == [len(letters(rig)), discards.count]
            begun = await asyncio.gather(
                *(one.redrives.create(plan) for one, plan in zip((node, other), plans, strict=True)),
                return_exceptions=True,
            )
            runs = [one for one in begun if not isinstance(one, BaseException)]
            assert all(isinstance(one, Conflict) for one in begun if isinstance(one, BaseException))
            if not runs:  # both saw the other: neither goes on, and it is asked again
                runs = [await node.redrives.create(await node.redrives.plan("hook", asked))]
            assert len(runs) == 1
            with pytest.raises(Conflict):
                await node.discards.create(discards)
            await sink.until(lambda s: len(s.ids) >= 100, 20)
            process.kill()
        with rig.bridge():
            await until_run(node, runs[0], "done")
        ids = of(sink, runs[0].run.id)
        assert len(set(ids)) == EVENTS and times(ids) <= 150
        with pytest.raises(Conflict):
            await other.redrives.create(plans[1])
        assert (await node.redrives.plan("hook")).count == 0 and len(letters(rig)) == EVENTS
