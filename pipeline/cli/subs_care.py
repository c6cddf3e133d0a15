"""``pipeline subs test | rotate-secret | reset | attempts``: subscriptions operated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import AsJson, Name, Where, grouped
from pipeline.cli.running import plain, who, with_node
from pipeline.cli.show import safe, show_one, show_rows

if TYPE_CHECKING:
    from pipeline.subscriptions import ResetAsked, ResetPlan
    from pipeline.wiring import Node

CHANGES, REFUSED = 2, 3
FAILED = 1
PARTS = ("topic", "partition", "from", "to", "count", "first_time", "last_time", "clamped")
ATTEMPTS = ("at", "id", "attempt", "status", "verdict", "ms", "error")


def register(subs: typer.Typer) -> None:
    for name, command in (
        ("test", test),
        ("rotate-secret", rotate_secret),
        ("reset", reset),
        ("attempts", attempts),
    ):
        subs.command(name)(grouped(command))


def test(name: Name, where: Where, as_json: AsJson = False) -> None:
    """Send one signed example to its endpoint now.

    Says what came back. Exit status 1: it did not take it.
    """
    trial = with_node(where, lambda node: node.trials.send(name, who=who()))
    show_one(plain(trial), as_json=as_json)
    if not trial.delivered:
        raise typer.Exit(FAILED)


def rotate_secret(
    name: Name,
    where: Where,
    as_json: AsJson = False,
    overlap_s: Annotated[
        int, typer.Option("--overlap-s", metavar="SECONDS", help="How long the secret before signs too; 0: not at all.")
    ] = 86_400,
) -> None:
    """Make a new signing secret and show it, this once.

    The one before signs too for a day, or as --overlap-s says.
    """
    made = with_node(where, lambda node: node.subscriptions.secrets.rotate(name, overlap_s, who=who()))
    shown = {"name": name, "secret": made.shown.secret, "public_key": made.shown.public_key, "overlap_s": overlap_s}
    show_one({key: value for key, value in shown.items() if value is not None}, as_json=as_json)


def reset(
    name: Name,
    where: Where,
    as_json: AsJson = False,
    to: Annotated[
        str | None, typer.Option("--to", metavar="WHERE", help="earliest, latest, or an RFC 3339 time with a zone.")
    ] = None,
    shift: Annotated[
        int | None, typer.Option(metavar="OFFSETS", help="So many offsets on, or back when negative.")
    ] = None,
    offset: Annotated[
        list[str] | None, typer.Option(metavar="TOPIC:PARTITION=OFFSET", help="One partition; may be repeated.")
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without this the plan is shown.")] = False,
    allow_clamp: Annotated[bool, typer.Option("--allow-clamp", help="Take the nearest offset the log holds.")] = False,
) -> None:
    """Move its pointer: where delivery goes on.

    Without --execute: the plan, and exit status 2, or 3 where the log does not reach.

    Example: `pipeline subs reset mail --to 2026-11-20T22:00:00Z --execute`
    """

    async def work(node: Node) -> tuple[ResetPlan, bool | None]:
        asked = _asked(to, shift, offset or [], allow_clamp)
        if not execute:
            return await node.resets.plan(name, asked), None
        done = await node.resets.reset(name, asked, who=who())
        return done.plan, done.taken_up

    plan, taken_up = with_node(where, work)
    parts = [_part(plain(part)) for part in plan.parts]
    show_rows(parts, PARTS, as_json=as_json, empty="it has no partitions")
    outcome = "planned" if taken_up is None else "done" if taken_up else "done, not taken up by a worker yet"
    told = {"state": outcome, "group": plan.group}
    show_one({**told, "commands": plan.commands} if as_json else told, as_json=as_json)
    for command in () if as_json else plan.commands:
        typer.echo(f"with Kafka's own tool: {safe(command)}")
    if taken_up is None and any(part["clamped"] for part in parts) and not allow_clamp:
        typer.echo("refused: the log does not hold that; --allow-clamp takes the nearest it holds", err=True)
        raise typer.Exit(REFUSED)
    if taken_up is None and any(part["count"] for part in parts):
        typer.echo("nothing was moved; add --execute to do it", err=True)
        raise typer.Exit(CHANGES)


def attempts(
    name: Name,
    where: Where,
    as_json: AsJson = False,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="503, 0 (no answer), 5xx, delivered or failed.")
    ] = None,
    event: Annotated[str | None, typer.Option(metavar="ID", help="A webhook id or a CloudEvents id.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="An RFC 3339 time with a zone.")] = None,
    limit: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many, 1 to 1000.")] = 20,
    start: Annotated[str | None, typer.Option("--from", metavar="PAGE", help="`next` of the page before.")] = None,
) -> None:
    """What was tried, the newest first."""

    async def work(node: Node) -> Any:
        return await node.attempts.search(name, status=status, event=event, since=since, limit=limit, from_=start)

    page = with_node(where, work)
    rows = [{**plain(one), "at": _time(one.at)} for one in page.attempts]
    show_rows(rows, ATTEMPTS, as_json=as_json, empty=f"no attempts of {name} were found")
    if page.next is not None:
        typer.echo(f"more: --from {page.next}", err=True)


def _asked(to: str | None, shift: int | None, offsets: list[str], allow_clamp: bool) -> ResetAsked:
    from pipeline.subscriptions import ResetAsked  # noqa: PLC0415 - keeps --help quick

    if sum((to is not None, shift is not None, bool(offsets))) != 1:
        raise typer.BadParameter("say where to, in one way: --to, --shift or --offset")
    by_topic: dict[str, dict[int, int]] = {}
    for text in offsets:
        place, _, offset = text.partition("=")
        topic, _, partition = place.rpartition(":")
        if not (topic and partition.isdigit() and offset.isdigit()):
            raise typer.BadParameter(f"--offset {text!r} is not TOPIC:PARTITION=OFFSET")
        by_topic.setdefault(topic, {})[int(partition)] = int(offset)
    return ResetAsked(to=to, shift=shift, offsets=by_topic or None, dry_run=False, allow_clamp=allow_clamp)


def _part(part: dict[str, Any]) -> dict[str, Any]:
    first, last = part.pop("first_time_ms"), part.pop("last_time_ms")
    return {**part, "first_time": _time(first), "last_time": _time(last)}


def _time(at_ms: int | None) -> str | None:
    from pipeline.moment import rfc3339_from_ms  # noqa: PLC0415 - keeps --help quick

    return None if at_ms is None else rfc3339_from_ms(at_ms)
