"""``pipeline tail``: events of a topic as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.running import HERE, AsJson, Bootstrap, Directory, with_node
from pipeline.cli.show import safe

if TYPE_CHECKING:
    from pipeline.wiring import Node


def register(program: typer.Typer) -> None:
    program.command("tail")(tail)


def tail(
    topic: Annotated[str, typer.Argument(help="The topic.")],
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    start: Annotated[str, typer.Option("--from", help="earliest, latest, a cursor, or time:<RFC 3339>.")] = "latest",
    limit: Annotated[int | None, typer.Option(help="Stop after this many events.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop at the end of the topic.")] = False,
) -> None:
    """Print events until interrupted: place, type, key and data, or the whole CloudEvent with --json."""

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

    with_node(directory, bootstrap, work)


def _line(event: bytes) -> str:
    import orjson  # noqa: PLC0415 - keeps --help quick

    it = orjson.loads(event)
    data = it.get("data", it.get("data_base64", ""))
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    place = f"{it.get('kafkapartition', '?')}/{int(it.get('sequence', 0))}"
    return safe(f"{place:>10}  {it.get('time', ''):24}  {it['type']:28}  {it.get('partitionkey', ''):16}  {text[:120]}")
