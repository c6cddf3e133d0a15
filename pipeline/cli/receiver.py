"""``pipeline receiver``: a sample webhook receiver that verifies what it gets."""

from __future__ import annotations

import typer


def register(program: typer.Typer) -> None:
    """Filled in with the receiver."""
    del program
