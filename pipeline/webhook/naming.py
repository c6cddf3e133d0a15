"""What requests say of events and of their run beyond what the records themselves say, worked out once per topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipeline.webhook.lines import attribute_line


class Names(NamedTuple):
    """``topic_prefixes`` (what webhook ids of a topic start with) and ``defaults`` (source and type of records that are
    no CloudEvents) are asked once per topic: a topic deleted and made again needs a new writer. ``run_id`` marks the
    deliveries of a replay or redrive.
    """

    topic_prefixes: Callable[[str], str]
    defaults: Callable[[str], tuple[str, str]]
    run_id: str | None = None


class TopicFacts(NamedTuple):
    """What webhook ids of a topic start with; source and type of its records that are no CloudEvents, also as lines."""

    id_prefix: bytes
    source: str
    type: str
    source_line: bytes
    type_line: bytes


class KnownTopics(dict[str, TopicFacts]):
    """The facts of topics, learned from ``names`` when one is first looked up."""

    def __init__(self, names: Names) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, topic: str) -> TopicFacts:
        prefix, (source, type_) = self._names.topic_prefixes(topic), self._names.defaults(topic)
        lines = attribute_line("source", source), attribute_line("type", type_)
        facts = self[topic] = TopicFacts(prefix.encode(), source, type_, *lines)
        return facts
