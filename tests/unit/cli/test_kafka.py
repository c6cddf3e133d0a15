"""``pipeline kafka``: the arguments are the tool's."""

from __future__ import annotations

import typer
from typer.testing import CliRunner

from pipeline.cli.kafka import register
from pipeline.errors import InputError


def program() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_an_unknown_tool_is_an_input_error() -> None:
    result = CliRunner().invoke(program(), ["kafka", "topic", "--list"])
    assert isinstance(result.exception, InputError)
    assert "topics" in str(result.exception)


def test_help_before_the_tool_is_ours() -> None:
    assert "kafka-topics.sh" in CliRunner().invoke(program(), ["kafka", "--help"]).output
