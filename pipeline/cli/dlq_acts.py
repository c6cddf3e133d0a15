"""``pipeline dlq redrive | discard | edit``: what can be done about dead letters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.letters import LetterId, Selected, newest
from pipeline.cli.options import READABLE, AsJson, Execute, Name, Rate, Wait, Where, grouped
from pipeline.cli.run_verbs import CHANGES, begun
from pipeline.cli.running import plain, who, with_node
from pipeline.cli.show import safe, show_one

if TYPE_CHECKING:
    from pipeline.redrive import DiscardPlan, RedrivePlan, Selection, WriteBackPlan
    from pipeline.wiring import Node


def register(dlq: typer.Typer) -> None:
    for name, command in (
        ("redrive", redrive),
        ("discard", discard),
        ("edit", edit),
    ):
        dlq.command(name)(grouped(command))


def redrive(
    name: Name,
    where: Where,
    selected: Selected,
    as_json: AsJson = False,
    execute: Execute = False,
    latest: Annotated[
        bool, typer.Option("--only-if-latest-for-key", help="Leave out those whose key has a newer event.")
    ] = False,
    rate: Rate = None,
    wait: Wait = True,
    to_topic: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Append the events to this topic instead, for everybody who reads it."),
    ] = None,
) -> None:
    """Deliver dead letters to their own endpoint again.

    Under the same ids; other subscriptions see nothing of it. Without --execute: the plan, and exit status 2.

    Example: `pipeline dlq redrive mail --reason exhausted --rate 20 --execute`
    """
    select = selected.selection()
    if to_topic is not None:
        if latest or rate is not None:
            raise typer.BadParameter("--to-topic takes a selection only")
        _write_back(name, select, to_topic, where, as_json=as_json, execute=execute)
        return

    async def work(node: Node) -> tuple[RedrivePlan, str]:
        from pipeline.redrive import RedriveAsked  # noqa: PLC0415 - keeps --help quick

        asked = RedriveAsked(select=select, rate_per_s=rate, only_if_latest_for_key=latest)
        plan = await node.redrives.plan(name, asked)
        if not execute or plan.count == 0:
            return plan, "planned"
        return plan, await begun(node, await node.redrives.create(plan, who=who()), wait=wait)

    plan, state = with_node(where, work)
    shown = {"dead_letters": plan.count, "reasons": plain(plan.reasons), "state": state}
    more = {"parking": plan.parking, "overtaken": plan.overtaken, "eta_s": plan.eta_s}
    show_one(shown | {what: one for what, one in more.items() if one}, as_json=as_json)
    for warning in plan.warnings:
        typer.echo(f"warning: {warning}", err=True)
    _planned(state, plan.count, "nothing was sent; add --execute to redrive them")


def discard(
    name: Name,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the audit.")],
    where: Where,
    selected: Selected,
    as_json: AsJson = False,
    execute: Execute = False,
) -> None:
    """Give dead letters up.

    They stay where they lie, neither offered nor redriven again. Without --execute: the plan, and exit status 2.

    Example: `pipeline dlq discard mail --key 4711 --why "test order" --execute`
    """
    select = selected.selection()

    async def work(node: Node) -> tuple[DiscardPlan, str]:
        plan = await node.discards.plan(name, select, why)
        if not execute or plan.count == 0:
            return plan, "planned"
        await node.discards.create(plan, who=who())
        return plan, "discarded"

    plan, state = with_node(where, work)
    show_one({"dead_letters": plan.count, "reasons": plain(plan.reasons), "state": state}, as_json=as_json)
    _planned(state, plan.count, "nothing was discarded; add --execute to do it")


def edit(
    name: Name,
    letter_id: LetterId,
    where: Where,
    as_json: AsJson = False,
    value_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the new value.", **READABLE)
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="NAME=VALUE sets a header, NAME= takes it away; may be repeated."),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="WHO", help="Who edits it; else who runs this.")] = None,
) -> None:
    """Mend a dead letter: append it changed.

    The new one says by whom and takes the place of the one before; redrive it then.
    """

    async def work(node: Node) -> dict[str, Any]:
        from pipeline.redrive import Change  # noqa: PLC0415 - keeps --help quick

        headers = _headers(header or [])
        read = {} if value_file is None else {"value": value_file.read_bytes()}
        found = await newest(node, name, letter_id)
        place = (found.place.partition, found.place.offset)
        made = await node.edits.edit(name, place, Change(headers=headers, **read), by or who())
        return {"id": found.letter.id, "lies_at": str(made), "instead_of": str(found.place)}

    show_one(with_node(where, work), as_json=as_json)


def _write_back(
    name: str,
    select: Selection,
    topic: str,
    where: Where,
    *,
    as_json: bool,
    execute: bool,
) -> None:
    async def work(node: Node) -> tuple[WriteBackPlan, str]:
        plan = await node.write_backs.plan(name, select, topic)
        if not execute or plan.count == 0:
            return plan, "planned"
        await node.write_backs.write(plan, who=who())
        return plan, "written"

    plan, state = with_node(where, work)
    shown = {"dead_letters": plan.count, "reasons": plain(plan.reasons), "to_topic": plan.topic, "state": state}
    show_one({**shown, "also_received_by": list(plan.readers)}, as_json=as_json)
    if plan.readers:
        typer.echo(f"warning: {len(plan.readers)} groups read {safe(plan.topic)} and receive them too", err=True)
    if plan.groups_unseen:
        typer.echo(f"warning: {plan.groups_unseen} more groups were not looked at", err=True)
    _planned(state, plan.count, "nothing was written; add --execute to append them")


def _planned(state: str, count: int, words: str) -> None:
    if not count:
        typer.echo("no dead letter that waits is selected: nothing to do; `dlq list --all` shows the others", err=True)
    elif state == "planned":
        typer.echo(words, err=True)
        raise typer.Exit(CHANGES)


def _headers(given: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--header: {text!r} is not NAME=VALUE")
        found[name] = value or None
    return found
