"""Options: grouped into values, and errors in their words."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import pytest
import typer
import typer.core
import typer.main

from pipeline.cli.options import AsJson, grouped, in_options
from pipeline.errors import Conflict, DeclarationInvalid

OPTIONS = {"from": "--from", "from_duration": "--from-duration", "reason": "--reason", "rate": "--rate", "id": "--id"}


@dataclasses.dataclass(frozen=True)
class Span:
    first: Annotated[int, typer.Option("--from", help="Where it begins.")] = 0
    only_new: Annotated[bool, typer.Option("--only-new", help="Leave out the old.")] = False


def program(seen: list[object], error: Exception | None = None) -> typer.core.TyperCommand:
    app = typer.Typer()

    @app.command()
    @grouped
    def show(name: str, span: Span, as_json: AsJson = False) -> None:
        """Show it."""
        seen.append((name, span, as_json))
        if error is not None:
            raise error

    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperCommand)
    return command


def test_a_group_of_options_arrives_as_one_value() -> None:
    seen: list[object] = []
    program(seen)(["it", "--from", "3", "--only-new", "--json"], standalone_mode=False)
    assert seen == [("it", Span(first=3, only_new=True), True)]


def test_options_of_a_group_have_its_defaults() -> None:
    seen: list[object] = []
    program(seen)(["it"], standalone_mode=False)
    assert seen == [("it", Span(), False)]


def test_help_and_order_are_those_of_the_options() -> None:
    options = [one.opts[0] for one in program([]).params if one.param_type_name == "option"]
    assert options[:3] == ["--from", "--only-new", "--json"]


def test_an_error_speaks_of_the_option_not_of_the_member() -> None:
    with pytest.raises(DeclarationInvalid, match=r"^--from: 'x' is not usable; expected a number, or --only-new$"):
        program([], DeclarationInvalid("/from", "x", "a number, or only_new"))(["it"], standalone_mode=False)
    with pytest.raises(Conflict, match="--only-new takes"):
        program([], Conflict("not there (only_new takes what is)"))(["it"], standalone_mode=False)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("/from_duration: 'soon' is not usable", "--from-duration: 'soon' is not usable"),
        ("/select/reasons/0: 'tired' is not usable", "--reason: 'tired' is not usable"),
        ("/rate_per_s: '0' is not usable", "--rate: '0' is not usable"),
        ("/ids/0: 'x' is not usable", "--id: 'x' is not usable"),
        ("/endpoint/url: 'x' is not usable", "/endpoint/url: 'x' is not usable"),
        ("reset by `from_duration` or from", "reset by `--from-duration` or from"),
        ("a file named my_from_duration", "a file named my_from_duration"),
    ],
)
def test_pointers_and_members_become_options(told: str, shown: str) -> None:
    assert in_options(told, OPTIONS) == shown
