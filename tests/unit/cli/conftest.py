"""What the tests of the command line ask for."""

from __future__ import annotations

from tests.unit.cli.commands import program

__all__ = ["program"]
