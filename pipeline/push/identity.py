"""Identity: a topic deleted and made again is another one; offsets of the old one say nothing of it."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import CursorEpochChanged
from pipeline.faces import TopicFacts


class TopicRecreated(CursorEpochChanged):
    code = "topic-recreated"


def check_identity(found: Mapping[str, TopicFacts], topic_ids: Mapping[str, str]) -> None:
    """Raises `TopicRecreated` when one of the topics ``found`` just now has another id than it is known by."""
    for name, topic_id in topic_ids.items():
        if name in found and found[name].topic_id != topic_id:
            raise TopicRecreated(f"{name} was deleted and made again; say where to start, then resume")
