"""Identity: a topic by the same name with another id is another topic, and a log that was cut never ends a window."""

from __future__ import annotations

import pytest

from pipeline.errors import PositionBeyondEnd
from pipeline.kafka.admin import TopicState
from pipeline.push.identity import TopicRecreated, check_identity, check_reach


def test_the_same_ids_pass_and_absent_topics_say_nothing() -> None:
    check_identity({"t": TopicState("t", "id1", 3)}, {"t": "id1", "u": "id2"})


def test_another_id_is_told_with_the_name() -> None:
    with pytest.raises(TopicRecreated, match="t was deleted and made again") as told:
        check_identity({"t": TopicState("t", "id9", 3)}, {"t": "id1"})
    assert told.value.code == "topic-recreated"


def test_a_log_that_ends_where_it_is_to_be_read_to_or_behind_passes() -> None:
    check_reach({("t", 0): 7, ("t", 1): 9}, {("t", 0): 7, ("t", 1): 7, ("t", 2): 7})


def test_a_log_that_ends_before_is_told_with_both_ends() -> None:
    with pytest.raises(PositionBeyondEnd, match="t/1: the log ends at 6 now, it did reach to 7"):
        check_reach({("t", 0): 7, ("t", 1): 6}, {("t", 0): 7, ("t", 1): 7})
