"""``pipeline topics``: what is declared, what lies on the broker, and making the second like the first."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import AsJson, Where, grouped
from pipeline.cli.running import plain, who, with_node
from pipeline.cli.show import show_rows

if TYPE_CHECKING:
    from pipeline.topics.plan import Allowed, Plan
    from pipeline.wiring import Node

CHANGES, REFUSED = 2, 3
topics = typer.Typer(help="Topics as files: list, plan, apply. Nothing is ever deleted.", no_args_is_help=True)


def register(program: typer.Typer) -> None:
    program.add_typer(topics, name="topics")


@topics.command("list")
@grouped
def list_topics(where: Where, as_json: AsJson = False) -> None:
    """Every topic, whether declared, and how many events it holds."""

    async def work(node: Node) -> list[dict[str, Any]]:
        names = [name for name in await node.admin.topics() if not name.startswith("_")]
        states = await node.admin.describe(names)
        places = [(name, number) for name, state in states.items() for number in range(state.partitions)]
        first, last = await node.admin.offsets(places, "earliest"), await node.admin.offsets(places, "latest")
        events = dict.fromkeys(states, 0)
        for place in places:
            events[place[0]] += last[place] - first[place]
        absent = [name for name in node.declared if name not in states]
        return [
            {
                "topic": name,
                "partitions": states[name].partitions if name in states else None,
                "events": events.get(name),
                "declared": "yes" if name in node.declared else "no",
                "schema": node.declared[name].schema if name in node.declared else None,
            }
            for name in sorted([*states, *absent])
        ]

    rows = with_node(where, work)
    columns = ("topic", "partitions", "events", "declared", "schema")
    show_rows(rows, columns, as_json=as_json, empty="no topics; declare one in topics/ and run `pipeline topics apply`")


PartitionIncrease = Annotated[
    bool, typer.Option("--allow-partition-increase", help="Let keyed events move to other partitions.")
]
RetentionCut = Annotated[bool, typer.Option("--allow-retention-cut", help="Let older events become deletable.")]


@dataclasses.dataclass(frozen=True)
class Widened:
    """Changes that are made only when asked for by name."""

    partition_increase: PartitionIncrease = False
    retention_cut: RetentionCut = False

    def allowed(self) -> Allowed:
        from pipeline.topics.plan import Allowed  # noqa: PLC0415 - keeps --help quick

        return Allowed(partition_increase=self.partition_increase, retention_cut=self.retention_cut)


@topics.command("plan")
@grouped
def plan_topics(
    where: Where,
    widened: Widened,
    as_json: AsJson = False,
) -> None:
    """What `apply` would do. Exit status 0: nothing, 2: changes, 3: some are refused."""

    async def work(node: Node) -> Plan:
        from pipeline.cli import declared  # noqa: PLC0415 - keeps --help quick

        return await declared.plan_topics(node, widened.allowed())

    made = with_node(where, work)
    _show(made, as_json)
    raise typer.Exit(REFUSED if made.refused else CHANGES if made.steps else 0)


@topics.command("apply")
@grouped
def apply_topics(
    where: Where,
    widened: Widened,
    as_json: AsJson = False,
) -> None:
    """Create what is missing and make the safe changes.

    Schemas are registered too. Exit status 3: some changes were refused.
    """

    async def work(node: Node) -> Plan:
        from pipeline.cli import declared  # noqa: PLC0415 - keeps --help quick

        return await declared.apply_topics(node, widened.allowed(), who=who())

    made = with_node(where, work)
    _show(made, as_json)
    raise typer.Exit(REFUSED if made.refused else 0)


def _show(made: Plan, as_json: bool) -> None:
    if as_json:
        rows = [plain(step) for step in (*made.steps, *made.refused)]
        show_rows(rows, (), as_json=True, empty="")
        return
    for line in made.lines() or ["nothing is declared in topics/"]:
        typer.echo(line)
