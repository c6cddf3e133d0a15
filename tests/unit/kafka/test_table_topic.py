"""A table's topic that is new: brokers hear of it one after the other, whoever made it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pipeline.errors import TopicNotFound
from pipeline.kafka.admin import TopicState
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.table import LogTable


class SpreadingAdmin:
    """Tells of a topic once it was asked ``unknown`` times after it was created; ``created`` is what creating says."""

    def __init__(self, *, unknown: int, created: bool) -> None:
        self.unknown, self.created = unknown, created
        self.asked_to_create = 0

    async def describe(self, names: list[str]) -> dict[str, TopicState]:
        return {name: TopicState(name, "id", 1) for name in names if self.asked_to_create}

    async def create(self, name: str, partitions: int, config: object) -> bool:
        self.asked_to_create += 1
        return self.created

    async def topic_config(self, name: str) -> dict[str, str]:
        self.unknown -= 1
        if self.unknown >= 0:
            raise TopicNotFound(name)
        return {"cleanup.policy": "compact"}

    async def offsets(self, places: list[tuple[str, int]], where: str) -> dict[tuple[str, int], int]:
        return dict.fromkeys(places, 7)


def table(admin: SpreadingAdmin) -> LogTable:
    nobody = cast("Any", None)
    return LogTable("t", settings=KafkaSettings(), producer=nobody, admin=cast("Any", admin), tail=nobody)


@pytest.mark.parametrize("created", [True, False])
async def test_a_new_topic_is_waited_for_whoever_made_it(created: bool) -> None:
    """It exists already when another process was quicker, or when the answer to the first asking was lost."""
    admin = SpreadingAdmin(unknown=2, created=created)
    assert await table(admin)._topic_end() == 7
    assert admin.asked_to_create == 1


async def test_a_topic_that_was_there_and_is_gone_is_told() -> None:
    admin = SpreadingAdmin(unknown=2, created=True)
    admin.asked_to_create = 1
    with pytest.raises(TopicNotFound):
        await table(admin)._topic_end()
