from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.topic import Topic


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a b"),
        ("name", "_internal"),
        ("partitions", 0),
        ("partitions", 10_001),
        ("replication", 0),
        ("replication", 33),
        ("key", "type"),
    ],
)
def test_what_a_topic_may_not_be_is_named(field: str, value: Any) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        Topic(**{"name": "orders", field: value})
    assert caught.value.field == field


def test_a_topic_needs_a_name_only() -> None:
    topic = Topic(name="orders")
    assert (topic.partitions, topic.key, topic.schema) == (1, "partitionkey", None)
