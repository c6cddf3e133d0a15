"""``pipeline tail``: events of a topic as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Where, grouped
from pipeline.cli.running import with_node
from pipeline.cli.show import safe

if TYPE_CHECKING:
    from pipeline.wiring import Node


def register(program: typer.Typer) -> None:
    program.command("tail")(grouped(tail))


def tail(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic.")],
    where: Where,
    as_json: AsJson = False,
    start: Annotated[
        str, typer.Option("--from", metavar="WHERE", help="earliest, latest, a cursor, or time:<RFC 3339>.")
    ] = "latest",
    limit: Annotated[int | None, typer.Option(metavar="NUMBER", min=1, help="Stop after this many events.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop at the end of the topic.")] = False,
) -> None:
    """Print a topic's events as they come, until interrupted.

    Of each partition/offset, time (where it has one), type, key and data; with --json the whole CloudEvent.

    Example: `pipeline tail orders --from earliest --once`
    """

    async def work(node: Node) -> None:
        from pipeline.pull import Wanted  # noqa: PLC0415 - keeps --help quick

        cursor, left = start, limit
        while left is None or left > 0:
            page = await node.reader.read(topic, cursor, Wanted(limit=min(left or 100, 100), wait_s=0 if once else 30))
            for event in page.events:
                typer.echo(event.decode() if as_json else _line(event))
            cursor = page.next_cursor
            left = None if left is None else left - len(page.events)
            if once and page.caught_up:
                return

    with_node(where, work)


def _line(event: bytes) -> str:
    import orjson  # noqa: PLC0415 - keeps --help quick

    it = orjson.loads(event)
    data = it.get("data", it.get("data_base64", ""))
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    place = f"{it.get('kafkapartition', '?')}/{int(it.get('sequence', 0))}"
    return safe(f"{place:>10}  {it.get('time', ''):24}  {it['type']:28}  {it.get('partitionkey', ''):16}  {text[:120]}")
