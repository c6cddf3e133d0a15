"""``pipeline lag``: how far every subscription and named cursor is behind, per partition."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import AsJson, Where, grouped
from pipeline.cli.running import plain, with_node
from pipeline.cli.show import show_rows
from pipeline.names import group_of

if TYPE_CHECKING:
    from pipeline.wiring import Node

COLUMNS = ("group", "topic", "partition", "committed", "end", "lag", "lag_seconds", "headroom")


def register(program: typer.Typer) -> None:
    program.command("lag")(grouped(show_lag))


def show_lag(
    where: Where,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One subscription or named cursor only.")] = None,
    as_json: AsJson = False,
) -> None:
    """How far each subscription and named cursor is behind.

    Per partition: committed offset, end, lag in events and in seconds, headroom before retention takes unread events.
    """

    async def work(node: Node) -> list[dict[str, Any]]:
        store = node.subscriptions
        cursors = [one for one in node.cursors.names() if name in (None, one)]
        names = [row.spec.name for row, _ in store.list()] if name is None else [name] if name not in cursors else []
        rows: list[dict[str, Any]] = []
        for one in names:
            status = await store.status(one)
            for part in status.partitions:
                rows.append({"group": status.group, **plain(part), "lag_seconds": await _age_s(node, plain(part))})
        return rows + [row for one in cursors for row in await _cursor_rows(node, one)]

    show_rows(with_node(where, work), COLUMNS, as_json=as_json, empty="no subscriptions and no named cursors")


async def _cursor_rows(node: Node, name: str) -> list[dict[str, Any]]:
    status = await node.cursors.get(name)
    group, topic = group_of(node.settings.namespace, name), status.spec.topic
    parts = [{"group": group, "topic": topic, **plain(part), "headroom": None} for part in status.partitions]
    return [{**part, "lag_seconds": await _age_s(node, part)} for part in parts]


async def _age_s(node: Node, part: dict[str, Any]) -> float | None:
    """Seconds since the record at the committed offset was appended; 0 at the end, never negative."""
    if part["committed"] is None:
        return None
    if part["committed"] >= part["end"]:
        return 0.0
    record = await node.view.fetch(part["topic"], part["partition"], part["committed"])
    return None if record is None else max(0.0, round(time.time() - record.timestamp_ms / 1000, 1))
