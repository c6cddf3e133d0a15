"""Whatever is declared and lies on the broker: a safe plan loses nothing, planning again finds nothing new."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.topic import Topic
from pipeline.topics.plan import Allowed, LiveTopic, Plan, plan

NAMES = st.sampled_from(["a", "b", "c"])
LIMITS = st.integers(-1, 5).map(str)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "retention.ms": LIMITS,
        "retention.bytes": LIMITS,
        "cleanup.policy": st.sampled_from(["delete", "compact", "compact,delete", "delete, compact"]),
        "min.insync.replicas": st.sampled_from(["1", "2"]),
        "segment.ms": LIMITS,
    },
)
DECLARED = st.lists(
    st.builds(Topic, name=NAMES, partitions=st.integers(1, 4), config=CONFIGS), unique_by=lambda topic: topic.name
)
LIVE = st.dictionaries(NAMES, st.tuples(st.integers(1, 4), CONFIGS)).map(
    lambda found: {
        name: LiveTopic(name=name, partitions=partitions, config=config) for name, (partitions, config) in found.items()
    }
)
ALLOWED = st.builds(Allowed, partition_increase=st.booleans(), retention_cut=st.booleans())


def carried_out(made: Plan, live: dict[str, LiveTopic]) -> dict[str, LiveTopic]:
    """What the broker holds after the plan's steps."""
    after = dict(live)
    for step in made.steps:
        topic = next(topic for topic in made.declared if topic.name == step.topic)
        if step.act == "create":
            after[topic.name] = LiveTopic(name=topic.name, partitions=topic.partitions, config=topic.config)
            continue
        found = after[topic.name]
        partitions = topic.partitions if step.act == "partitions" else found.partitions
        changed = {step.field.removeprefix("config/"): step.after} if step.act == "config" else {}
        after[topic.name] = LiveTopic(name=topic.name, partitions=partitions, config={**found.config, **changed})
    return after


def kept(value: str | None) -> float:
    """A limit as a number; -1 and an unknown one are endless."""
    return float("inf") if value is None or value == "-1" else float(value)


@given(DECLARED, LIVE, ALLOWED)
def test_after_a_plan_only_what_was_refused_is_left(
    declared: list[Topic], live: dict[str, LiveTopic], allowed: Allowed
) -> None:
    made = plan(declared, live, allowed)
    again = plan(declared, carried_out(made, live), allowed)
    assert again.steps == ()
    assert again.refused == made.refused


@given(DECLARED, LIVE)
def test_a_plan_with_nothing_allowed_takes_nothing_away(declared: list[Topic], live: dict[str, LiveTopic]) -> None:
    after = carried_out(plan(declared, live), live)
    assert after.keys() >= live.keys()
    for name, before in live.items():
        assert after[name].partitions == before.partitions
        for key in ("retention.ms", "retention.bytes"):
            assert kept(after[name].config.get(key)) >= kept(before.config.get(key))


@given(DECLARED, LIVE)
def test_with_everything_allowed_only_fewer_partitions_are_refused(
    declared: list[Topic], live: dict[str, LiveTopic]
) -> None:
    made = plan(declared, live, Allowed(partition_increase=True, retention_cut=True))
    assert all(int(step.after) < int(step.before) for step in made.refused)
    after = carried_out(made, live)
    assert all(after[name].partitions >= found.partitions for name, found in live.items())
