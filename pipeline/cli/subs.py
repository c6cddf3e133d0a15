"""``pipeline subs``: subscriptions, looked at, stopped, resumed, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import subs_care, subs_files, subs_parked
from pipeline.cli.options import AsJson, Name, Where, grouped
from pipeline.cli.running import plain, who, with_node
from pipeline.cli.show import show_one, show_rows

if TYPE_CHECKING:
    from pipeline.wiring import Node

subs = typer.Typer(help="Subscriptions: declared, looked at, operated.", no_args_is_help=True)

# Once, not with every program that is built: a command added twice is there twice.
subs_files.register(subs)
subs_care.register(subs)
subs_parked.register(subs)


def register(program: typer.Typer) -> None:
    program.add_typer(subs, name="subs")


@subs.command("list")
@grouped
def list_subs(where: Where, as_json: AsJson = False) -> None:
    """Every subscription, its state and how far it is behind."""

    async def work(node: Node) -> list[dict[str, Any]]:
        store = node.subscriptions
        return [_line(plain(one)) for one in await store.statuses([row.spec.name for row, _ in store.list()])]

    rows = with_node(where, work)
    columns = ("name", "state", "lag", "lag_s", "topics", "endpoint", "reason")
    show_rows(
        rows, columns, as_json=as_json, empty="no subscriptions; put one into subscriptions/ or PUT /v1/subscriptions"
    )


def _line(status: dict[str, Any]) -> dict[str, Any]:
    row = status["row"]
    ages = [part["lag_s"] for part in status["partitions"]]
    return {
        "name": row["spec"]["name"],
        "state": row.get("state", "active"),
        "lag": sum(part["lag"] or 0 for part in status["partitions"]),
        "lag_s": None if None in ages else round(max(ages, default=0.0), 1),
        "topics": ", ".join(row["spec"]["topics"]),
        "endpoint": row["spec"]["endpoint"]["url"],
        "reason": row.get("reason", ""),
    }


@subs.command("show")
@grouped
def show_sub(
    name: Name,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """One subscription whole, but for its secrets.

    Its declaration, state, last attempt; lag, headroom and owner per partition.
    """

    async def work(node: Node) -> dict[str, Any]:
        from pipeline.subscriptions import shown_row  # noqa: PLC0415 - keeps --help quick

        status = await node.subscriptions.status(name)
        row = shown_row(status.row)
        latest = (await node.attempts.search(name, limit=1)).attempts
        shown = {"name": row.pop("name"), "state": row.pop("state"), "reason": row.pop("reason")}
        shown |= {"generation": row.pop("generation"), "version": status.version, "group": status.group}
        shown |= {"dead_letter_topic": status.dead_letter_topic, "last_attempt": plain(latest[0]) if latest else None}
        return shown | {"partitions": plain(status.partitions), "spec": row}

    shown = with_node(where, work)
    partitions = [] if as_json else shown.pop("partitions")
    show_one(shown, as_json=as_json)
    if partitions:
        typer.echo("")
        show_rows(partitions, tuple(partitions[0]), as_json=False, empty="")


@subs.command("secret")
@grouped
def show_secret(name: Name, where: Where, as_json: AsJson = False) -> None:
    """Print its signing secrets, newest first.

    One a line: what a receiver verifies with. They are not logged.
    """

    async def work(node: Node) -> list[str]:
        held = node.subscriptions.get(name)[0].secrets
        return [node.subscriptions.secrets.sealer.unseal(name, text) for text in (*held.v1, *held.v1a)]

    found = with_node(where, work)
    if as_json:
        show_rows([{"secret": secret} for secret in found], (), as_json=True, empty="")
        return
    for secret in found:
        typer.echo(secret)


@subs.command("pause")
@grouped
def pause_sub(name: Name, where: Where, as_json: AsJson = False) -> None:
    """Stop reading, sending and committing.

    So a stock tool may act on the cursor at rest.
    """
    with_node(where, lambda node: node.subscriptions.pause(name, who=who()))
    _say({"name": name, "state": "paused"}, f"{name} is paused", as_json)


@subs.command("resume")
@grouped
def resume_sub(name: Name, where: Where, as_json: AsJson = False) -> None:
    """Read everything afresh and go on. Also lifts `gone` and `blocked`."""
    with_node(where, lambda node: node.subscriptions.resume(name, who=who()))
    _say({"name": name, "state": "active"}, f"{name} is active", as_json)


@subs.command("delete")
@grouped
def delete_sub(
    name: Name,
    where: Where,
    as_json: AsJson = False,
    forget: Annotated[bool, typer.Option("--forget", help="Also forget how far it was.")] = False,
) -> None:
    """Delete it and end its runs. Its offsets stay, so making it again goes on where it was, unless --forget."""
    with_node(where, lambda node: node.subscriptions.delete(name, forget=forget, who=who()))
    told = f"{name} is deleted" + (" and its offsets are forgotten" if forget else "")
    _say({"name": name, "state": "deleted", "forgotten": forget}, told, as_json)


def _say(fact: dict[str, Any], sentence: str, as_json: bool) -> None:
    if as_json:
        show_one(fact, as_json=True)
    else:
        typer.echo(sentence)
