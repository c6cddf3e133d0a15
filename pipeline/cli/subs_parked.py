"""``pipeline subs parked | release``: keys that wait for an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import AsJson, Name, Where, grouped
from pipeline.cli.running import plain, who, with_node
from pipeline.cli.show import show_rows

if TYPE_CHECKING:
    from pipeline.redrive import Released
    from pipeline.wiring import Node

CHANGES = 2


def register(subs: typer.Typer) -> None:
    subs.command("parked")(grouped(list_parked))
    subs.command("release")(grouped(release))


def list_parked(name: Name, where: Where, as_json: AsJson = False) -> None:
    """Keys that wait for an operator.

    Parked behind a dead letter, or held by `block`.
    """

    async def work(node: Node) -> list[dict[str, Any]]:
        from pipeline.redrive.shown import parked_shown  # noqa: PLC0415 - keeps --help quick

        return [parked_shown(one) for one in node.parked_keys.of(name)]

    rows = with_node(where, work)
    columns = ("key", "topic", "partition", "policy", "reason", "offset", "since")
    show_rows(rows, columns, as_json=as_json, empty=f"no key of {name} waits")


def release(
    name: Name,
    where: Where,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="The key; none: events without one.")] = None,
    as_json: AsJson = False,
    skip: Annotated[bool, typer.Option("--skip", help="Let it go on at once, its dead letters stay.")] = False,
    wait_s: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for its letters to be redriven.")
    ] = 300.0,
) -> None:
    """Let a parked or held key go on.

    Its dead letters are redriven first, in order, until none is new. Exit status 2: one came back, the key waits on.
    """

    async def work(node: Node) -> list[Released]:
        found = node.parked_keys.find(name, None if key is None else key.encode())
        return [await node.parked_keys.release(one, skip=skip, wait_s=wait_s, who=who()) for one in found]

    done = with_node(where, work)
    show_rows([plain(one) for one in done], ("state", "redriven", "run"), as_json=as_json, empty="")
    if any(one.state != "released" for one in done):
        raise typer.Exit(CHANGES)
