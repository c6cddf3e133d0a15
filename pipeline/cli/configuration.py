"""``pipeline config``: the effective configuration, and where each value came from."""

from __future__ import annotations

import typer

from pipeline.cli.options import AsJson, Where, grouped
from pipeline.cli.running import connected, plain
from pipeline.cli.show import show_rows


def register(program: typer.Typer) -> None:
    program.command("config")(grouped(show_config))


def show_config(where: Where, as_json: AsJson = False) -> None:
    """Every setting, its value and where it comes from.

    That is: a default, pipeline.toml, an environment variable, or a flag.
    """
    from pipeline.config import effective  # noqa: PLC0415 - keeps --help quick

    rows = [
        {"setting": key, "value": plain(value), "origin": origin} for key, value, origin in effective(connected(where))
    ]
    show_rows(rows, ("setting", "value", "origin"), as_json=as_json, empty="")
