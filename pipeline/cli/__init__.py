"""The command line: one file per command group. Heavy imports wait until a command needs them."""

from __future__ import annotations

from pipeline.cli.program import main

__all__ = ["main"]
