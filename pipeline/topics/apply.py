"""Make the broker's topics as planned: create and safe changes. There is no call here that deletes anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from pipeline.errors import VersionConflict
from pipeline.faces import TopicFacts
from pipeline.topic import Topic
from pipeline.topics.plan import LiveTopic, Plan, Step


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


async def apply(admin: TopicsAdmin, plan: Plan) -> list[Step]:
    """Carry out ``plan.steps`` and return them; ``plan.refused`` stays undone.

    Raises `VersionConflict`, before anything is done, when a topic is no longer as the plan found it: plan again.
    A step that fails ends it; the steps before it are done, and planning again finds the rest.
    """
    if not plan.steps:
        return []
    touched = {step.topic for step in plan.steps}
    now = await read_live(admin, [topic for topic in plan.declared if topic.name in touched])
    for name in sorted(touched):
        if now.get(name) != plan.live.get(name):
            raise VersionConflict(f"topic {name} has changed since the plan was made; plan again")
    declared = {topic.name: topic for topic in plan.declared}
    for step in plan.steps:
        await _do(admin, step, declared[step.topic])
    return list(plan.steps)


async def _do(admin: TopicsAdmin, step: Step, topic: Topic) -> None:
    if step.act == "create":
        # Of two processes that apply the same files at the same time one finds the topic made already: so be it.
        await admin.create(topic.name, partitions=topic.partitions, config=topic.config, replication=topic.replication)
    elif step.act == "partitions":
        await admin.add_partitions(topic.name, topic.partitions)
    else:
        await admin.set_config(topic.name, {step.field.removeprefix("config/"): step.after})
