"""``pipeline replay list | status | pause | resume | cancel``: what can be done with a run, replay or redrive alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import AsJson, Name, Where, grouped
from pipeline.cli.running import plain, who, with_node
from pipeline.cli.show import show_one, show_rows
from pipeline.errors import NotFound

if TYPE_CHECKING:
    from pipeline.runs import StampedRun
    from pipeline.wiring import Node

CHANGES = 2
RunId = Annotated[str, typer.Argument(metavar="RUN", help="As `replay list` shows it.")]
COLUMNS = ("run", "kind", "state", "done", "total", "eta_s", "created_at", "to")


def register(replay: typer.Typer) -> None:
    for name, command in (
        ("list", list_runs),
        ("status", show_run),
        ("pause", pause_run),
        ("resume", resume_run),
        ("cancel", cancel_run),
    ):
        replay.command(name)(grouped(command))


def list_runs(name: Name, where: Where, as_json: AsJson = False) -> None:
    """Replays and redrives of a subscription, newest first."""

    async def work(node: Node) -> list[dict[str, Any]]:
        rate = node.subscriptions.get(name)[0].spec.rate_per_s
        return [await _row(node, found, rate) for found in node.runs.of(name, "replay", "redrive")]

    rows = with_node(where, work)
    show_rows(rows, COLUMNS, as_json=as_json, empty=f"no runs of {name}")


def show_run(name: Name, run_id: RunId, where: Where, as_json: AsJson = False) -> None:
    """One run: its state and how far it is.

    Also how long it may take, and the group that stock tools see it by.
    """

    async def work(node: Node) -> dict[str, Any]:
        found = run_of(node, name, run_id)
        row = await _row(node, found, node.subscriptions.get(name)[0].spec.rate_per_s)
        return {**row, "group": node.runs.group(found.run), "window": plain(found.run)["window"]}

    show_one(with_node(where, work), as_json=as_json)


def pause_run(name: Name, run_id: RunId, where: Where) -> None:
    """Stop reading, sending and committing until resumed."""
    _turn(name, run_id, "pause", where)


def resume_run(name: Name, run_id: RunId, where: Where) -> None:
    """Go on from where it stands, or where a tool moved it."""
    _turn(name, run_id, "resume", where)


def cancel_run(name: Name, run_id: RunId, where: Where) -> None:
    """Stop it for good where it is. Dead letters it had not come to may be redriven again."""
    _turn(name, run_id, "cancel", where)


def run_of(node: Node, name: str, run_id: str) -> StampedRun:
    """The replay or redrive of that id. Raises `RunNotFound`."""
    try:
        return node.runs.get(name, "replay", run_id)
    except NotFound:
        return node.runs.get(name, "redrive", run_id)


async def begun(node: Node, made: StampedRun, *, wait: bool) -> str:
    """The state of a run just made: ``active``, or its last one where somebody waits for it."""
    if not wait:
        typer.echo(f"run {made.run.id}: `pipeline replay status {made.run.subscription} {made.run.id}`", err=True)
        return "active"
    return await wait_for(node, made)


async def wait_for(node: Node, made: StampedRun) -> str:
    """Wait until a run is through or stands still, showing its progress on a terminal; returns its last state."""
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415 - the same

    run, console = made.run, Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"{run.kind} {run.id}", total=None)
        while True:
            reached = await node.runs.progress(run)
            progress.update(task, completed=reached.done, total=reached.total)
            state = node.runs.get(run.subscription, run.kind, run.id).run.state
            if state != "active":
                return state
            await asyncio.sleep(0.3)


async def _row(node: Node, found: StampedRun, default_rate: float | None) -> dict[str, Any]:
    run = found.run
    progress = await node.runs.progress(run, default_rate)
    return {
        "run": run.id,
        "kind": run.kind,
        "state": run.state,
        "done": progress.done,
        "total": progress.total,
        "eta_s": progress.eta_s,
        "created_at": run.created_at,
        "rate_per_s": run.rate_per_s,
        "to": run.endpoint.url if run.endpoint is not None else None,
    }


def _turn(name: str, run_id: str, verb: str, where: Where) -> None:
    async def work(node: Node) -> str:
        kind, runs = run_of(node, name, run_id).run.kind, node.runs
        turn = {"pause": runs.pause, "resume": runs.resume, "cancel": runs.cancel}[verb]
        return (await turn(name, kind, run_id, who=who())).run.state

    typer.echo(f"{run_id} is {with_node(where, work)}")
