"""``pipeline replay``: deliver a window of history to a subscription again, beside its live delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.dlq import CHANGES, wait_for
from pipeline.cli.running import HERE, AsJson, Bootstrap, Directory, plain, with_node
from pipeline.cli.show import show_one, show_rows

if TYPE_CHECKING:
    from pipeline.replay import ReplayPlan
    from pipeline.wiring import Node

COLUMNS = ("topic", "partition", "first", "until", "count")


def register(program: typer.Typer) -> None:
    program.command("replay")(replay)


def replay(
    name: Annotated[str, typer.Argument(help="The subscription.")],
    start: Annotated[str, typer.Option("--from", help="earliest, a cursor, or an RFC 3339 time with a zone.")],
    until: Annotated[
        str, typer.Option("--until", help="latest (frozen now), a cursor, or an RFC 3339 time.")
    ] = "latest",
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without this the plan is shown.")] = False,
    rate: Annotated[float | None, typer.Option(help="At most this many a second.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is through.")] = True,
) -> None:
    """Deliver the window again: same ids, a webhook-replay header, a pointer of its own; live delivery is untouched."""

    async def work(node: Node) -> tuple[ReplayPlan, str]:
        from pipeline.replay import ReplayAsked  # noqa: PLC0415 - keeps --help quick

        plan = await node.replays.plan(name, ReplayAsked(start=start, until=until, rate_per_s=rate))
        if not execute or plan.count == 0:
            return plan, "planned"
        made = await node.replays.create(plan)
        return plan, await wait_for(node, made) if wait else "active"

    plan, state = with_node(directory, bootstrap, work)
    show_rows([plain(part) for part in plan.parts], COLUMNS, as_json=as_json, empty="nothing lies in that window")
    show_one({"events": plan.count, "state": state}, as_json=as_json)
    if state == "planned" and plan.count:
        typer.echo("nothing was sent; add --execute to replay them", err=True)
        raise typer.Exit(CHANGES)
