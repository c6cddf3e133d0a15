"""Make the broker's topics as planned: create and safe changes. There is no call here that deletes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from pipeline.errors import VersionConflict
from pipeline.faces import TopicFacts
from pipeline.topic import Topic
from pipeline.topics.plan import LiveTopic, Plan, Step, plan

# A broker answers from its own copy of the metadata, which follows the controller's by some milliseconds.
_LOOK_AGAIN_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class TopicsAdmin(Protocol):
    """The verbs of `pipeline.kafka.admin.Admin` that are used here."""

    async def describe(self, names: list[str], /) -> Mapping[str, TopicFacts]: ...
    async def topic_config(self, name: str, /) -> Mapping[str, str]: ...
    async def create(
        self, name: str, *, partitions: int, config: Mapping[str, str], replication: int | None
    ) -> bool: ...
    async def set_config(self, name: str, config: Mapping[str, str], /) -> object: ...
    async def add_partitions(self, name: str, total: int, /) -> object: ...


async def read_live(admin: TopicsAdmin, declared: Iterable[Topic]) -> dict[str, LiveTopic]:
    """The declared topics that exist, as they are now. Raises `BrokerUnavailable`."""
    states = await admin.describe([topic.name for topic in declared])
    return {
        name: LiveTopic(name=name, partitions=state.partitions, config=dict(await admin.topic_config(name)))
        for name, state in states.items()
    }


async def apply(admin: TopicsAdmin, planned: Plan, on_step: Callable[[Step], object] = lambda _: None) -> list[Step]:
    """Carry out ``planned.steps`` and return them, once the broker shows them; ``planned.refused`` stays undone.
    ``on_step`` is told each step that is done.

    Raises `VersionConflict`, before anything is done, when a topic is no longer as the plan found it: plan again.
    A step that fails ends it; the steps before it are done, and planning again finds the rest.
    """
    if not planned.steps:
        return []
    touched = {step.topic for step in planned.steps}
    now = await read_live(admin, [topic for topic in planned.declared if topic.name in touched])
    for name in sorted(touched):
        if now.get(name) != planned.live.get(name):
            raise VersionConflict(f"topic {name} has changed since the plan was made; plan again")
    declared = {topic.name: topic for topic in planned.declared}
    for step in planned.steps:
        await _do(admin, step, declared[step.topic])
        on_step(step)
    await _until_shown(admin, planned.steps, [declared[name] for name in touched])
    return list(planned.steps)


async def _do(admin: TopicsAdmin, step: Step, topic: Topic) -> None:
    if step.act == "create":
        # Of two processes that apply the same files at the same time one finds the topic made already: so be it.
        await admin.create(topic.name, partitions=topic.partitions, config=topic.config, replication=topic.replication)
    elif step.act == "partitions":
        await admin.add_partitions(topic.name, topic.partitions)
    else:
        await admin.set_config(topic.name, {step.field.removeprefix("config/"): step.after})


async def _until_shown(admin: TopicsAdmin, steps: Iterable[Step], topics: list[Topic]) -> None:
    """Wait until planning again would not find these steps; given up in silence after some seconds."""
    done = {(step.topic, step.field) for step in steps}
    for pause_s in _LOOK_AGAIN_S:
        again = plan(topics, await read_live(admin, topics))
        if done.isdisjoint((step.topic, step.field) for step in (*again.steps, *again.refused)):
            return
        await asyncio.sleep(pause_s)
