"""``pipeline dlq``: dead letters looked through, counted, shown and exported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import dlq_acts
from pipeline.cli.letters import LETTERS_MAX, LetterId, Selected, Since, letters_of, newest
from pipeline.cli.options import AsJson, Name, Where, grouped
from pipeline.cli.running import plain, with_node
from pipeline.cli.show import show_one, show_rows

if TYPE_CHECKING:
    from pipeline.redrive import FiledLetter
    from pipeline.wiring import Node

dlq = typer.Typer(help="Dead letters: look, count, export, redrive, edit, discard.", no_args_is_help=True)
COLUMNS = ("id", "event", "key", "reason", "attempts", "state", "error")
_OPEN = ("open", "parking")


# Once, not with every program that is built: a command added twice is there twice.
dlq_acts.register(dlq)


def register(program: typer.Typer) -> None:
    program.add_typer(dlq, name="dlq")


@dlq.command("list")
@grouped
def list_letters(
    name: Name,
    where: Where,
    selected: Selected,
    as_json: AsJson = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were redriven, discarded or written back.")
    ] = False,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="What lies there that this subscription did not bury; none is trusted.")
    ] = False,
) -> None:
    """Dead letters of a subscription that wait for somebody."""
    select = selected.selection()
    if foreign:
        rows = with_node(where, lambda node: _foreign(node, name))
        columns: tuple[str, ...] = ("partition", "offset", "dialect", "topic", "group", "reason", "error", "why")
        show_rows(rows, columns, as_json=as_json, empty=f"nothing foreign in the dead letters of {name}")
        return

    async def work(node: Node) -> list[dict[str, Any]]:
        found = [filed async for filed in letters_of(node, name, select)]
        return [_row(filed) for filed in found if everything or filed.is_open]

    rows = with_node(where, work)
    columns = (*COLUMNS, "taken_by") if everything else COLUMNS
    show_rows(rows, columns, as_json=as_json, empty=f"no dead letters of {name}")


@dlq.command("stats")
@grouped
def count_letters(
    name: Name,
    where: Where,
    as_json: AsJson = False,
    since: Since = None,
) -> None:
    """How many there are, by what became of them.

    Those that wait also by reason, status, type and age.
    """
    select = Selected(since=since).selection()

    async def work(node: Node) -> dict[str, Any]:
        from pipeline.redrive import Tally  # noqa: PLC0415 - keeps --help quick

        tally = Tally(node.runs.now_ms(), node.dead_letters.facts_of)
        async for filed in letters_of(node, name, select):
            tally.add(filed)
        counted: dict[str, Any] = plain(tally.stats())
        return counted

    show_one(with_node(where, work), as_json=as_json)


@dlq.command("show")
@grouped
def show_letter(
    name: Name,
    letter_id: LetterId,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """One dead letter whole.

    Why it died, its key, headers and value, and whether that is what was published.
    """

    async def work(node: Node) -> dict[str, Any]:
        filed = await newest(node, name, letter_id)
        as_published = await node.dead_letters.is_as_published(filed.letter)
        return {**_row(filed), **_payload(filed), "as_published": as_published}

    show_one(with_node(where, work), as_json=as_json)


@dlq.command("export")
@grouped
def export_letters(
    name: Name,
    where: Where,
    selected: Selected,
    everything: Annotated[bool, typer.Option("--all", help="Also those that nobody waits for any more.")] = False,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="At most so many.")] = LETTERS_MAX,
) -> None:
    """Dead letters whole, one JSON object a line (NDJSON).

    The last line says whether that was all.
    """
    select = selected.selection()

    async def work(node: Node) -> None:
        from pipeline.redrive import Search  # noqa: PLC0415 - keeps --help quick
        from pipeline.redrive.export import exported  # noqa: PLC0415 - the same

        states = frozenset[Any]() if everything else frozenset[Any](_OPEN)
        async for one in exported(node.dead_letters, name, Search(select=select, states=states, limit=limit), None):
            typer.echo(json.dumps(one, ensure_ascii=False))

    with_node(where, work)


async def _foreign(node: Node, name: str) -> list[dict[str, Any]]:
    from pipeline.redrive import Search  # noqa: PLC0415 - keeps --help quick

    rows: list[dict[str, Any]] = []
    cursor, caught_up = "earliest", False
    while not caught_up:
        page = await node.dead_letters.search(name, Search(limit=500), cursor)
        for one in page.foreign:
            claim = plain(one.claim)
            rows.append({"partition": one.place.partition, "offset": one.place.offset, "why": one.why, **claim})
        cursor, caught_up = page.next_cursor, page.caught_up
    return rows


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
        "state": filed.fate.state,
        "taken_by": filed.fate.run,
        "note": filed.fate.note or None,
        "error": letter.error,
    }


def _payload(filed: FiledLetter) -> dict[str, Any]:
    record, edit = filed.letter.record, filed.letter.edit
    headers = {name: text_of(value) for name, value in record.headers}
    edited = {} if edit is None else {"edit": plain(edit)}
    return {"lies_at": str(filed.place), **edited, "headers": headers, "value": text_of(record.value)}


def text_of(raw: bytes | None) -> str | None:
    """Bytes for people: what is no UTF-8 shows as escapes."""
    return None if raw is None else raw.decode("utf-8", "backslashreplace")
