"""Printing: tables for people, JSON lines for scripts. Nothing that came from outside can move a terminal's cursor."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

# What people copy from a table: never cut in two, however narrow the terminal.
WHOLE = frozenset({"id", "name", "run", "secret"})
# As wide as any row where nobody looks at a terminal: a script reads one row a line.
UNBOUNDED = 10_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def safe(text: object) -> str:
    """``text`` on one line, with control and direction characters shown as escapes."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found.group()):02x}", str(text))


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print ``rows``: one JSON object a line, or a table of ``columns`` (``empty`` says what no rows mean)."""
    listed = list(rows)
    if as_json:
        for row in listed:
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    if not listed:
        typer.echo(empty)
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and JSON does not need it
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = all(isinstance(row.get(column), int | float | None) for row in listed)
        least = max(len(_shown(row.get(column))) for row in listed) if column in WHOLE else None
        table.add_column(
            column.replace("_", " "), justify="right" if numeric else "left", overflow="fold", min_width=least
        )
    for row in listed:
        table.add_row(*(Text("" if row.get(column) is None else _shown(row[column])) for column in columns))
    console = Console(width=None if sys.stdout.isatty() else UNBOUNDED)
    console.print(table, crop=False)


def show_one(value: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: a JSON object, or ``name: value`` lines."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False))
        return
    width = max((len(name) for name in value), default=0)
    for name, item in value.items():
        typer.echo(f"{name.ljust(width)}  {_shown(item)}")


def _shown(value: object) -> str:
    """A value as people read it: text as it is, nothing as `none`, all else as JSON writes it."""
    if value is None:
        return "none"
    return safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
