"""Identity: a topic by the same name with another id is another topic."""

from __future__ import annotations

import pytest

from pipeline.kafka.admin import TopicState
from pipeline.push.identity import TopicRecreated, check_identity


def test_the_same_ids_pass_and_absent_topics_say_nothing() -> None:
    check_identity({"t": TopicState("t", "id1", 3)}, {"t": "id1", "u": "id2"})


def test_another_id_is_told_with_the_name() -> None:
    with pytest.raises(TopicRecreated, match="t was deleted and made again") as told:
        check_identity({"t": TopicState("t", "id9", 3)}, {"t": "id1"})
    assert told.value.code == "topic-recreated"
