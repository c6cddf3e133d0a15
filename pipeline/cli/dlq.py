"""``pipeline dlq``: dead letters and their redrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.running import HERE, AsJson, Bootstrap, Directory, plain, with_node
from pipeline.cli.show import show_one, show_rows
from pipeline.errors import SubscriptionNotFound, TopicNotFound

if TYPE_CHECKING:
    from pipeline.redrive import FiledLetter, RedrivePlan
    from pipeline.runs import StampedRun
    from pipeline.wiring import Node

CHANGES = 2
LETTERS_MAX = 100_000
dlq = typer.Typer(help="Dead letters: list, show, redrive.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The subscription.")]
COLUMNS = ("id", "event", "key", "reason", "attempts", "error")


def register(program: typer.Typer) -> None:
    program.add_typer(dlq, name="dlq")


@dlq.command("list")
def list_letters(
    name: Name,
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were redriven.")] = False,
) -> None:
    """Dead letters of a subscription that no redrive has taken yet."""

    async def work(node: Node) -> list[dict[str, Any]]:
        letters = [filed async for filed in letters_of(node, name)]
        return [_row(filed) for filed in letters if reason in (None, filed.letter.reason)]

    rows = with_node(directory, bootstrap, work)
    shown = [row for row in rows if everything or row["redriven_by"] is None]
    columns = (*COLUMNS, "redriven_by") if everything else COLUMNS
    show_rows(shown, columns, as_json=as_json, empty=f"no dead letters of {name}")


@dlq.command("show")
def show_letter(
    name: Name,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it.")],
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """One dead letter whole: why it died, its key, headers and value."""

    async def work(node: Node) -> dict[str, Any]:
        async for filed in letters_of(node, name):
            if filed.letter.id == letter_id:
                return {**_row(filed), **_payload(filed)}
        raise typer.BadParameter(f"{name} has no dead letter {letter_id!r}; `pipeline dlq list {name}` shows them")

    show_one(with_node(directory, bootstrap, work), as_json=as_json)


async def letters_of(node: Node, name: str) -> AsyncIterator[FiledLetter]:
    """Every dead letter of a subscription, also of one that is deleted. Raises `SubscriptionNotFound`."""
    try:
        async for filed in node.dead_letters.all(name, LETTERS_MAX):
            yield filed
    except TopicNotFound:
        raise SubscriptionNotFound(name) from None


def _row(filed: FiledLetter) -> dict[str, Any]:
    letter = filed.letter
    return {
        "id": letter.id,
        "event": text_of(letter.record.header("ce_id")),
        "key": text_of(letter.record.key),
        "reason": letter.reason,
        "status": letter.http_status,
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "last_failed_at": letter.last_failed_at,
        "redrives": letter.redrives,
        "redriven_by": filed.redriven_by,
        "error": letter.error,
    }


def _payload(filed: FiledLetter) -> dict[str, Any]:
    record = filed.letter.record
    headers = {name: text_of(value) for name, value in record.headers}
    return {"lies_at": str(filed.place), "headers": headers, "value": text_of(record.value)}


def text_of(raw: bytes | None) -> str | None:
    """Bytes for people: what is no UTF-8 shows as escapes."""
    return None if raw is None else raw.decode("utf-8", "backslashreplace")


@dlq.command("redrive")
def redrive(
    name: Name,
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without this the plan is shown.")] = False,
    reason: Annotated[list[str] | None, typer.Option(help="Only this reason; may be repeated.")] = None,
    letter_id: Annotated[list[str] | None, typer.Option("--id", help="Only this one; may be repeated.")] = None,
    rate: Annotated[float | None, typer.Option(help="At most this many a second.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is through.")] = True,
) -> None:
    """Deliver dead letters to their endpoint again, under the same ids. Other subscriptions see nothing of it."""

    async def work(node: Node) -> tuple[RedrivePlan, str]:
        from pipeline.redrive import Selection  # noqa: PLC0415 - keeps --help quick

        selection = Selection(reasons=tuple(reason or ()), ids=tuple(letter_id or ()))
        plan = await node.redrives.plan(name, selection, rate)
        if not execute or plan.count == 0:
            return plan, "planned"
        made = await node.redrives.create(plan)
        return plan, await wait_for(node, made) if wait else "active"

    plan, state = with_node(directory, bootstrap, work)
    show_one({"dead_letters": plan.count, "reasons": plain(plan.reasons), "state": state}, as_json=as_json)
    if state == "planned" and plan.count:
        typer.echo("nothing was sent; add --execute to redrive them", err=True)
        raise typer.Exit(CHANGES)


async def wait_for(node: Node, made: StampedRun) -> str:
    """Wait until a run is through, showing its progress on a terminal; returns its last state."""
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415 - the same

    run = made.run
    window = {(t, p): bounds for t, parts in run.window.items() for p, bounds in parts.items()}
    total = sum(until - first for first, until in window.values())
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{run.kind} {run.id}", total=total)
        while True:
            found = await node.offsets.read(node.runs.group(run), list(window))
            done = sum(found[place].offset - first for place, (first, _) in window.items() if place in found)
            progress.update(task, completed=done)
            state = node.runs.get(run.subscription, run.kind, run.id).run.state
            if state != "active":
                return state
            await asyncio.sleep(0.3)
