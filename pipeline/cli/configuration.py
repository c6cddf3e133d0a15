"""``pipeline config``: the effective configuration, and where each value came from."""

from __future__ import annotations

import typer

from pipeline.cli.running import HERE, AsJson, Bootstrap, Directory, connected, plain
from pipeline.cli.show import show_rows


def register(program: typer.Typer) -> None:
    program.command("config")(show_config)


def show_config(directory: Directory = HERE, bootstrap: Bootstrap = None, as_json: AsJson = False) -> None:
    """Every setting, its value and its origin: default, pipeline.toml, or an environment variable."""
    from pipeline.config import effective  # noqa: PLC0415 - keeps --help quick

    rows = [
        {"setting": key, "value": plain(value), "origin": origin}
        for key, value, origin in effective(connected(directory, bootstrap))
    ]
    show_rows(rows, ("setting", "value", "origin"), as_json=as_json, empty="")
