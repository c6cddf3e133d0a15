"""Identity: a topic deleted and made again is another one; offsets of the old one say nothing of it. And a log that
was cut does not hold what a window was made of.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import CursorEpochChanged, PositionBeyondEnd
from pipeline.faces import Partition, TopicFacts


class TopicRecreated(CursorEpochChanged):
    code = "topic-recreated"


def check_identity(found: Mapping[str, TopicFacts], topic_ids: Mapping[str, str]) -> None:
    """Raises `TopicRecreated` when one of the topics ``found`` just now has another id than it is known by."""
    for name, topic_id in topic_ids.items():
        if name in found and found[name].topic_id != topic_id:
            raise TopicRecreated(f"{name} was deleted and made again; say where to start, then resume")


def check_reach(ends: Mapping[Partition, int], untils: Mapping[Partition, int]) -> None:
    """Raises `PositionBeyondEnd` when one of the logs, which end at ``ends`` now, ends before ``untils``: so far it is
    to be read, or was delivered. It did reach so far, and what it lost will never come.
    """
    for (topic, partition), until in untils.items():
        end = ends.get((topic, partition), until)
        if end < until:
            raise PositionBeyondEnd(f"{topic}/{partition}: the log ends at {end} now, it did reach to {until}")
