"""``pipeline subs plan | apply | create | edit``: subscriptions as files or flags declare them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import READABLE, AsJson, Name, Where, grouped
from pipeline.cli.running import plain, who, with_node
from pipeline.cli.show import safe, show_rows

if TYPE_CHECKING:
    from pipeline.wiring import Node

CHANGES = 2
COLUMNS = ("name", "change")
File = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="One file instead of the folder.", **READABLE)
]
Members = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="MEMBER=VALUE", help="As retry.give_up_after_s=60; JSON or text. May be repeated."),
]


def register(subs: typer.Typer) -> None:
    for name, command in (("plan", plan), ("apply", apply), ("create", create), ("edit", edit)):
        subs.command(name)(grouped(command))


def plan(where: Where, as_json: AsJson = False, file: File = None) -> None:
    """What `apply` would do, member by member.

    Also tells what no file declares. Exit status 0: nothing to do, 2: changes.
    """

    async def work(node: Node) -> list[dict[str, Any]]:
        from pipeline.cli.declared import plan_subscriptions  # noqa: PLC0415 - keeps --help quick

        return [_row(one) for one in await plan_subscriptions(node, file)]

    rows = with_node(where, work)
    _show(rows, as_json)
    if any(row["change"] in ("created", "changed") for row in rows):
        raise typer.Exit(CHANGES)


def apply(where: Where, as_json: AsJson = False, file: File = None) -> None:
    """Make or change what subscriptions/*.yaml declares. None is ever deleted."""

    async def work(node: Node) -> list[dict[str, Any]]:
        from pipeline.cli.declared import apply_subscriptions  # noqa: PLC0415 - keeps --help quick

        return [_row(one) for one in await apply_subscriptions(node, file, who=who())]

    _show(with_node(where, work), as_json)


def create(
    name: Name,
    topic: Annotated[list[str], typer.Option(metavar="TOPIC", help="A topic to deliver; may be repeated.")],
    url: Annotated[str, typer.Option(metavar="URL", help="Where deliveries go.")],
    where: Where,
    as_json: AsJson = False,
    start: Annotated[str, typer.Option(metavar="WHERE", help="earliest, latest, or an RFC 3339 time.")] = "latest",
    members: Members = None,
) -> None:
    """Make a new subscription and show its secret, this once.

    Example: `pipeline subs create mail --topic orders --url https://example.org/hook --set in_flight_max=8`
    """

    async def work(node: Node) -> dict[str, Any]:
        from pipeline.cli.declared import created, with_members  # noqa: PLC0415 - keeps --help quick

        declared = {"topics": topic, "start": start, "endpoint": {"url": url}}
        return await created(node, name, with_members(declared, members or []), who=who())

    _show([_row(with_node(where, work))], as_json)


def edit(
    name: Name,
    where: Where,
    as_json: AsJson = False,
    members: Members = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="MEMBER", help="A member to put back to its default; may be repeated.")
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without this the plan is shown.")] = False,
) -> None:
    """Change members of a subscription; the others stay.

    Without --execute: what would change, and exit status 2.

    Example: `pipeline subs edit mail --set rate_per_s=50 --unset retry.schedule_s`
    """

    async def work(node: Node) -> dict[str, Any]:
        from pipeline.cli.declared import edited  # noqa: PLC0415 - keeps --help quick

        return await edited(node, name, members or [], unset or [], who=who() if execute else None)

    row = _row(with_node(where, work))
    _show([row], as_json)
    if not execute and row["change"] != "unchanged":
        typer.echo("nothing was changed; add --execute to do it", err=True)
        raise typer.Exit(CHANGES)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "differences": [plain(one) for one in row.get("differences", ())]}


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A line for each, secrets only where one was made just now; below it a line for each member that differs."""
    if as_json:
        show_rows(rows, (), as_json=True, empty="")
        return
    columns = (*COLUMNS, "secret") if any(row.get("secret") for row in rows) else COLUMNS
    show_rows(rows, columns, as_json=False, empty="no files in subscriptions/")
    for row in rows:
        for one in row["differences"]:
            change = f"{_member(one['before'])} -> {_member(one['after'])}"
            typer.echo(safe(f"{row['name']} {one['pointer']}: {change}"))


def _member(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
