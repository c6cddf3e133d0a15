"""What every act of the story works with: the stage, an HTTP client, the receivers, the page it is printed on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from examples.story.judge import Verdicts
from examples.story.stage import Stage, StageFailed
from examples.story.witness import Witness

WAIT_S = 45.0


class Play(NamedTuple):
    """One telling. ``witnesses`` are the receivers by the name of their subscription."""

    stage: Stage
    http: aiohttp.ClientSession
    page: Console
    verdicts: Verdicts
    witnesses: dict[str, Witness]

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer to a JSON request. Raises `StageFailed` for an error status."""
        async with self.http.request(method, path, json=body) as response:
            text = await response.text()
            if response.status >= 400:
                raise StageFailed(f"{method} {path} answered {response.status}: {text[:500]}")
            return json.loads(text) if text else None

    def act(self, number: int, title: str, words: str) -> None:
        """Begin an act: its number and title, and what it is about."""
        self.page.print()
        self.page.print(Text.assemble((f" {number} ", "bold black on cyan"), (f"  {title}", "bold")))
        self.page.print(Text(words, style="dim"))

    def command(self, *words: str) -> None:
        """Show a command as one would type it in the folder of the pipeline."""
        self.page.print(Text(f"$ pipeline {' '.join(words)}", style="cyan"))

    def check(self, what: str, holds: object, found: object = "") -> None:
        """Check, and print the verdict."""
        good = self.verdicts.check(what, holds, found)
        mark = Text("✓ ", style="green") if good else Text("✗ ", style="bold red")
        self.page.print(mark + Text(what if good else self.verdicts.failed[-1]))

    def table(self, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
        """Print rows; columns of numbers stand to the right."""
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for number, column in enumerate(columns):
            numeric = all(isinstance(row[number], int) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", no_wrap=True, overflow="ellipsis")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
        self.page.print(table)


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for ``holds``. Raises `StageFailed` naming ``what`` when it does not come."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise StageFailed(f"waited {WAIT_S:.0f} s in vain: {what}")
        await asyncio.sleep(0.05)  # the receivers work on this loop
