"""``pipeline subs plan | apply | create | edit``: subscriptions as files or flags declare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.running import HERE, AsJson, Bootstrap, Directory, plain, who, with_node
from pipeline.cli.show import show_rows

if TYPE_CHECKING:
    from pipeline.subscriptions import Difference
    from pipeline.wiring import Node

CHANGES = 2
COLUMNS = ("name", "change", "differences")
Name = Annotated[str, typer.Argument(help="The subscription.")]
File = Annotated[Path | None, typer.Option("--file", help="One file instead of the folder.")]
Members = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="MEMBER=VALUE", help="As retry.give_up_after_s=60; JSON or text. May be repeated."),
]


def register(subs: typer.Typer) -> None:
    for name, command in (("plan", plan), ("apply", apply), ("create", create), ("edit", edit)):
        subs.command(name)(command)


def plan(directory: Directory = HERE, bootstrap: Bootstrap = None, as_json: AsJson = False, file: File = None) -> None:
    """What `apply` would do, member by member, and what no file declares. Exit status 0: nothing, 2: changes."""

    async def work(node: Node) -> list[dict[str, Any]]:
        from pipeline.cli.declared import plan_subscriptions  # noqa: PLC0415 - keeps --help quick

        return [_row(one) for one in await plan_subscriptions(node, file)]

    rows = with_node(directory, bootstrap, work)
    _show(rows, as_json)
    if any(row["change"] in ("created", "changed") for row in rows):
        raise typer.Exit(CHANGES)


def apply(directory: Directory = HERE, bootstrap: Bootstrap = None, as_json: AsJson = False, file: File = None) -> None:
    """Make or change the subscriptions declared in subscriptions/*.yaml. None is ever deleted."""

    async def work(node: Node) -> list[dict[str, Any]]:
        from pipeline.cli.declared import apply_subscriptions  # noqa: PLC0415 - keeps --help quick

        return [_row(one) for one in await apply_subscriptions(node, file, who=who())]

    _show(with_node(directory, bootstrap, work), as_json)


def create(
    name: Name,
    topic: Annotated[list[str], typer.Option(help="A topic to deliver; may be repeated.")],
    url: Annotated[str, typer.Option(help="Where deliveries go.")],
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    start: Annotated[str, typer.Option(help="earliest, latest, or an RFC 3339 time.")] = "latest",
    members: Members = None,
) -> None:
    """Make a subscription that is not there yet, and show its secret, this once."""

    async def work(node: Node) -> dict[str, Any]:
        from pipeline.cli.declared import created, with_members  # noqa: PLC0415 - keeps --help quick

        declared = {"topics": topic, "start": start, "endpoint": {"url": url}}
        return await created(node, name, with_members(declared, members or []), who=who())

    _show([_row(with_node(directory, bootstrap, work))], as_json)


def edit(
    name: Name,
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    members: Members = None,
    unset: Annotated[list[str] | None, typer.Option(help="A member to put back to its default.")] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without this the plan is shown.")] = False,
) -> None:
    """Change members of a subscription; the others stay. Without --execute: what would change, and exit status 2."""

    async def work(node: Node) -> dict[str, Any]:
        from pipeline.cli.declared import edited  # noqa: PLC0415 - keeps --help quick

        return await edited(node, name, members or [], unset or [], who=who() if execute else None)

    row = _row(with_node(directory, bootstrap, work))
    _show([row], as_json)
    if not execute and row["change"] != "unchanged":
        raise typer.Exit(CHANGES)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "differences": [plain(one) for one in row.get("differences", ())]}


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A line for each; in a table differences stand as text, and secrets only where one was made just now."""
    if as_json:
        show_rows(rows, (), as_json=True, empty="")
        return
    told = [{**row, "differences": "; ".join(_difference(one) for one in row["differences"])} for row in rows]
    columns = (*COLUMNS, "secret") if any(row.get("secret") for row in rows) else COLUMNS
    show_rows(told, columns, as_json=False, empty="no files in subscriptions/")


def _difference(one: dict[str, Any] | Difference) -> str:
    told: dict[str, Any] = plain(one)
    return f"{told['pointer']}: {told['before']} -> {told['after']}"
