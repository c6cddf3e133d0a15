"""What it takes to make the broker's topics as declared, and what of it is refused because something would be lost.

Pure. The rules:

- Nothing is ever deleted or reset: a topic no file declares and a setting no file names are left as they are.
- Partitions are never taken away. More of them only when allowed: keys move between partitions, so the order of a key
  across the change is lost, and readers that start at ``latest`` miss what lies in a new partition before they see it.
- A setting that makes events disappear sooner, or durability weaker, is changed only when allowed.
- Replication counts when a topic is created; on a live topic it is a reassignment, which is the operator's work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from pipeline.topic import Topic

# Settings of which a lower value takes something away, and what. -1 stands for "without limit".
_LOWER_LOSES = {
    "retention.ms": "events older than that become deletable",
    "retention.bytes": "the oldest events beyond that become deletable",
    "delete.retention.ms": "readers that are behind may miss tombstones",
    "min.compaction.lag.ms": "older values of a key may go before they are read",
    "max.compaction.lag.ms": "older values of a key may go before they are read",
    "max.message.bytes": "events that large are accepted today",
    "min.insync.replicas": "an acknowledged event would lie on fewer brokers",
}
_MAY_BE_ENDLESS = frozenset({"retention.ms", "retention.bytes"})


class LiveTopic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it lies on the broker; ``config`` holds its settings in effect, defaults included."""

    name: str
    partitions: int
    config: Mapping[str, str]


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator takes upon himself beyond the safe changes."""

    partition_increase: bool = False
    retention_cut: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one topic. ``refused`` is empty, or says why it is not made and what would allow it."""

    topic: str
    act: Literal["create", "partitions", "config"]
    field: str
    before: str
    after: str
    refused: str = ""

    def __str__(self) -> str:
        if self.act == "create":
            return f"+ {self.topic}: create with {self.after}"
        change = f"{self.topic}: {self.field} {self.before} -> {self.after}"
        return f"! {change}  refused: {self.refused}" if self.refused else f"~ {change}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `apply` will do (``steps``), will not do (``refused``), and finds in order (``unchanged``).

    ``live`` is the state the plan was made against; ``declared`` what it is made for.
    """

    declared: tuple[Topic, ...]
    live: Mapping[str, LiveTopic]
    steps: tuple[Step, ...] = ()
    refused: tuple[Step, ...] = ()
    unchanged: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The plan for a reader, one line a change: ``+`` new, ``~`` changed, ``!`` refused, ``=`` as declared."""
        return [*map(str, self.steps), *map(str, self.refused), *(f"= {name}" for name in self.unchanged)]


def plan(declared: Iterable[Topic], live: Mapping[str, LiveTopic], allowed: Allowed | None = None) -> Plan:
    """Compare declarations with the broker's topics. Topics in ``live`` that nobody declares do not matter."""
    topics = tuple(declared)
    found = {topic.name: list(_steps(topic, live.get(topic.name), allowed or Allowed())) for topic in topics}
    every = [step for steps in found.values() for step in steps]
    return Plan(
        declared=topics,
        live={topic.name: live[topic.name] for topic in topics if topic.name in live},
        steps=tuple(step for step in every if not step.refused),
        refused=tuple(step for step in every if step.refused),
        unchanged=tuple(name for name, steps in found.items() if not steps),
    )


def _steps(topic: Topic, live: LiveTopic | None, allowed: Allowed) -> Iterable[Step]:
    if live is None:
        yield Step(topic=topic.name, act="create", field="", before="", after=_summary(topic))
        return
    if topic.partitions != live.partitions:
        yield Step(
            topic=topic.name,
            act="partitions",
            field="partitions",
            before=str(live.partitions),
            after=str(topic.partitions),
            refused=_why_not_partitions(topic, live, allowed),
        )
    for key, value in sorted(topic.config.items()):
        before = live.config.get(key, "(not set)")
        if not _same(key, before, value):
            yield Step(
                topic=topic.name,
                act="config",
                field=f"config/{key}",
                before=before,
                after=value,
                refused="" if allowed.retention_cut else _why_not_config(key, before, value),
            )


def _summary(topic: Topic) -> str:
    parts = [f"{topic.partitions} partition{'s' if topic.partitions > 1 else ''}"]
    if topic.replication is not None:
        parts.append(f"replication {topic.replication}")
    return ", ".join(parts + [f"{key}={value}" for key, value in sorted(topic.config.items())])


def _why_not_partitions(topic: Topic, live: LiveTopic, allowed: Allowed) -> str:
    if topic.partitions < live.partitions:
        return "Kafka cannot take partitions away; declare the number that is there"
    if allowed.partition_increase:
        return ""
    moved = round(100 * (1 - live.partitions / topic.partitions))
    return (
        f"about {moved} % of the keys would move to another partition and lose their order across the change, and "
        "readers that start at latest would miss the first events of new partitions; allow it with partition_increase"
    )


def _why_not_config(key: str, before: str, after: str) -> str:
    allow = "; allow it with retention_cut"
    if key == "cleanup.policy" and _policies(after) - _policies(before):
        added = "delete" if "delete" in _policies(after) - _policies(before) else "compact"
        loss = "old events would be deleted" if added == "delete" else "all but the last event of a key would go"
        return loss + allow
    if key == "unclean.leader.election.enable" and after.strip().lower() == "true":
        return "acknowledged events may be lost when a leader fails" + allow
    if key in _LOWER_LOSES and _limit(key, after) < _limit(key, before):
        return _LOWER_LOSES[key] + allow
    return ""


def _same(key: str, before: str, after: str) -> bool:
    if key == "cleanup.policy":
        return _policies(before) == _policies(after)
    return before.strip().lower() == after.strip().lower()


def _policies(value: str) -> frozenset[str]:
    return frozenset(part.strip() for part in value.split(",") if part.strip())


def _limit(key: str, value: str) -> float:
    """``value`` as a number that can be compared; what is no number counts as no limit (the broker will refuse it)."""
    try:
        number = float(value)
    except ValueError:
        return float("inf")
    return float("inf") if number < 0 and key in _MAY_BE_ENDLESS else number
