"""``pipeline subs``: subscriptions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.running import HERE, AsJson, Bootstrap, Directory, plain, with_node
from pipeline.cli.show import show_one, show_rows

if TYPE_CHECKING:
    from pipeline.wiring import Node

subs = typer.Typer(help="Subscriptions: list, show, secret, apply, pause, resume, delete.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The subscription.")]


def register(program: typer.Typer) -> None:
    program.add_typer(subs, name="subs")


@subs.command("list")
def list_subs(directory: Directory = HERE, bootstrap: Bootstrap = None, as_json: AsJson = False) -> None:
    """Every subscription, its state and how far it is behind."""

    async def work(node: Node) -> list[dict[str, Any]]:
        store = node.subscriptions
        return [_line(plain(await store.status(row.spec.name))) for row, _ in store.list()]

    rows = with_node(directory, bootstrap, work)
    columns = ("name", "state", "lag", "topics", "endpoint", "reason")
    show_rows(
        rows, columns, as_json=as_json, empty="no subscriptions; put one into subscriptions/ or PUT /v1/subscriptions"
    )


def _line(status: dict[str, Any]) -> dict[str, Any]:
    row = status["row"]
    return {
        "name": row["spec"]["name"],
        "state": row.get("state", "active"),
        "lag": sum(part["lag"] or 0 for part in status["partitions"]),
        "topics": ", ".join(row["spec"]["topics"]),
        "endpoint": row["spec"]["endpoint"]["url"],
        "reason": row.get("reason", ""),
    }


@subs.command("show")
def show_sub(
    name: Name,
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """One subscription whole: declaration, state, group, lag per partition. Secrets are not shown."""

    async def work(node: Node) -> dict[str, Any]:
        status = plain(await node.subscriptions.status(name))
        row = status.pop("row")
        shown = {"name": name, "state": row.get("state", "active"), "reason": row.get("reason", ""), **status}
        shown["spec"] = row["spec"]
        return shown

    shown = with_node(directory, bootstrap, work)
    partitions = [] if as_json else shown.pop("partitions")
    show_one(shown, as_json=as_json)
    if partitions:
        typer.echo("")
        show_rows(partitions, tuple(partitions[0]), as_json=False, empty="")


@subs.command("secret")
def show_secret(name: Name, directory: Directory = HERE, bootstrap: Bootstrap = None) -> None:
    """Print its signing secrets, one a line, newest first: what a receiver verifies with. They are not logged."""

    async def work(node: Node) -> list[str]:
        return _unsealed(node, name)

    for secret in with_node(directory, bootstrap, work):
        typer.echo(secret)


def _unsealed(node: Node, name: str) -> list[str]:
    from pipeline.sealing import unseal  # noqa: PLC0415 - keeps --help quick
    from pipeline.subscription import secret_context  # noqa: PLC0415 - the same

    held = node.subscriptions.get(name)[0].secrets
    return [unseal(node.keyring, text, secret_context(name)).decode() for text in (*held.v1, *held.v1a)]


@subs.command("apply")
def apply_subs(
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    file: Annotated[Path | None, typer.Option("--file", help="One file instead of the folder.")] = None,
) -> None:
    """Make or change the subscriptions declared in subscriptions/*.yaml. None is ever deleted."""

    async def work(node: Node) -> list[dict[str, Any]]:
        from pipeline.cli.declared import apply_subscriptions  # noqa: PLC0415 - keeps --help quick

        return await apply_subscriptions(node, file)

    rows = with_node(directory, bootstrap, work)
    show_rows(rows, ("name", "change", "secret"), as_json=as_json, empty="no files in subscriptions/")


@subs.command("pause")
def pause_sub(name: Name, directory: Directory = HERE, bootstrap: Bootstrap = None) -> None:
    """Stop reading, sending and committing, so that a stock tool may act on the cursor at rest."""
    with_node(directory, bootstrap, lambda node: node.subscriptions.pause(name))
    typer.echo(f"{name} is paused")


@subs.command("resume")
def resume_sub(name: Name, directory: Directory = HERE, bootstrap: Bootstrap = None) -> None:
    """Read everything afresh and go on; also lifts `gone` and `blocked`."""
    with_node(directory, bootstrap, lambda node: node.subscriptions.resume(name))
    typer.echo(f"{name} is active")


@subs.command("delete")
def delete_sub(
    name: Name,
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    forget: Annotated[bool, typer.Option("--forget", help="Also forget how far it was.")] = False,
) -> None:
    """Delete it. Its offsets stay, so making it again goes on where it was, unless --forget."""
    with_node(directory, bootstrap, lambda node: node.subscriptions.delete(name, forget=forget))
    typer.echo(f"{name} is deleted" + (" and its offsets are forgotten" if forget else ""))
