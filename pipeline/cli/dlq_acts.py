"""``pipeline dlq redrive | discard | edit``: what can be done about dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.run_verbs import CHANGES, begun
from pipeline.cli.running import HERE, AsJson, Bootstrap, Directory, plain, who, with_node
from pipeline.cli.show import safe, show_one
from pipeline.errors import SubscriptionNotFound, TopicNotFound

if TYPE_CHECKING:
    from pipeline.redrive import DiscardPlan, FiledLetter, RedrivePlan, Selection, WriteBackPlan
    from pipeline.wiring import Node

LETTERS_MAX = 1_000_000
Name = Annotated[str, typer.Argument(help="The subscription.")]
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only this reason; may be repeated.")]
Statuses = Annotated[list[int] | None, typer.Option("--status", help="Only this HTTP status; may be repeated.")]
Keys = Annotated[list[str] | None, typer.Option("--key", help="Only this key; may be repeated.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only this CloudEvents type; may be repeated.")]
Since = Annotated[str | None, typer.Option("--since", help="Failed last no earlier: an RFC 3339 time with a zone.")]
Ids = Annotated[
    list[str] | None, typer.Option("--id", help="Only this dead letter, or its event's id; may be repeated.")
]
Execute = Annotated[bool, typer.Option("--execute", help="Do it; without this the plan is shown.")]


def register(dlq: typer.Typer) -> None:
    for name, command in (
        ("redrive", redrive),
        ("discard", discard),
        ("edit", edit),
    ):
        dlq.command(name)(command)


def selection_of(
    reasons: list[str] | None,
    statuses: list[int] | None,
    keys: list[str] | None,
    types: list[str] | None,
    since: str | None,
    ids: list[str] | None,
) -> Selection:
    from pipeline.redrive import Selection  # noqa: PLC0415 - keeps --help quick

    return Selection(
        reasons=tuple(reasons or ()),
        statuses=tuple(statuses or ()),
        keys=tuple(keys or ()),
        types=tuple(types or ()),
        since=since,
        ids=tuple(ids or ()),
    )


async def letters_of(node: Node, name: str, select: Selection | None = None) -> AsyncIterator[FiledLetter]:
    """Every dead letter of a subscription, also of one that is deleted. Raises `SubscriptionNotFound`."""
    try:
        async for filed in node.dead_letters.all(name, LETTERS_MAX, select):
            yield filed
    except TopicNotFound:
        raise SubscriptionNotFound(name) from None


async def newest(node: Node, name: str, letter_id: str) -> FiledLetter:
    """The letter of that id that lies last: an event that died again, or was edited, has several."""
    select = selection_of(None, None, None, None, None, [letter_id])
    found = [filed async for filed in letters_of(node, name, select)]
    if not found:
        raise typer.BadParameter(f"{name} has no dead letter {letter_id!r}; `pipeline dlq list {name}` shows them")
    return max(found, key=lambda filed: (filed.is_open, filed.place))


def redrive(
    name: Name,
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    execute: Execute = False,
    reason: Reasons = None,
    status: Statuses = None,
    key: Keys = None,
    kind: Types = None,
    since: Since = None,
    letter_id: Ids = None,
    latest: Annotated[
        bool, typer.Option("--only-if-latest-for-key", help="Leave out those whose key has a newer event.")
    ] = False,
    rate: Annotated[float | None, typer.Option(help="At most this many a second.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is through.")] = True,
    to_topic: Annotated[
        str | None, typer.Option(help="Append the events to this topic instead, for everybody who reads it.")
    ] = None,
) -> None:
    """Deliver dead letters to their endpoint again, under the same ids. Other subscriptions see nothing of it."""
    select = selection_of(reason, status, key, kind, since, letter_id)
    if to_topic is not None:
        if latest or rate is not None:
            raise typer.BadParameter("--to-topic takes a selection only")
        _write_back(name, select, to_topic, directory, bootstrap, as_json=as_json, execute=execute)
        return

    async def work(node: Node) -> tuple[RedrivePlan, str]:
        from pipeline.redrive import RedriveAsked  # noqa: PLC0415 - keeps --help quick

        asked = RedriveAsked(select=select, rate_per_s=rate, only_if_latest_for_key=latest)
        plan = await node.redrives.plan(name, asked)
        if not execute or plan.count == 0:
            return plan, "planned"
        return plan, await begun(node, await node.redrives.create(plan, who=who()), wait=wait)

    plan, state = with_node(directory, bootstrap, work)
    shown = {"dead_letters": plan.count, "reasons": plain(plan.reasons), "state": state}
    more = {"parking": plan.parking, "overtaken": plan.overtaken, "eta_s": plan.eta_s}
    show_one(shown | {what: one for what, one in more.items() if one}, as_json=as_json)
    for warning in plan.warnings:
        typer.echo(f"warning: {warning}", err=True)
    _planned(state, plan.count, "nothing was sent; add --execute to redrive them")


def discard(
    name: Name,
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit.")],
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    execute: Execute = False,
    reason: Reasons = None,
    status: Statuses = None,
    key: Keys = None,
    kind: Types = None,
    since: Since = None,
    letter_id: Ids = None,
) -> None:
    """Give dead letters up: they stay where they lie, and are neither offered nor redriven again."""
    select = selection_of(reason, status, key, kind, since, letter_id)

    async def work(node: Node) -> tuple[DiscardPlan, str]:
        plan = await node.discards.plan(name, select, why)
        if not execute or plan.count == 0:
            return plan, "planned"
        await node.discards.create(plan, who=who())
        return plan, "discarded"

    plan, state = with_node(directory, bootstrap, work)
    show_one({"dead_letters": plan.count, "reasons": plain(plan.reasons), "state": state}, as_json=as_json)
    _planned(state, plan.count, "nothing was discarded; add --execute to do it")


def edit(
    name: Name,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it.")],
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    value_file: Annotated[Path | None, typer.Option(help="File with the new value.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE sets a header, NAME= takes it away; may be repeated.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who edits it; else who runs this.")] = None,
) -> None:
    """Append the event changed, as a new dead letter that says by whom; redrive it then."""

    async def work(node: Node) -> dict[str, Any]:
        from pipeline.redrive import Change  # noqa: PLC0415 - keeps --help quick

        headers = _headers(header or [])
        read = {} if value_file is None else {"value": value_file.read_bytes()}
        found = await newest(node, name, letter_id)
        place = (found.place.partition, found.place.offset)
        made = await node.edits.edit(name, place, Change(headers=headers, **read), by or who())
        return {"id": found.letter.id, "lies_at": str(made), "instead_of": str(found.place)}

    show_one(with_node(directory, bootstrap, work), as_json=as_json)


def _write_back(
    name: str,
    select: Selection,
    topic: str,
    directory: Directory,
    bootstrap: Bootstrap,
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

    plan, state = with_node(directory, bootstrap, work)
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
