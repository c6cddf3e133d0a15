"""Printing: what came from outside stays one harmless line."""

from __future__ import annotations

import json

import pytest

from pipeline.cli.show import safe, show_one, show_rows


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Zürich", "plain Zürich"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edef", "abc\\x202edef"),
    ],
)
def test_controls_are_shown_as_escapes(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_rows_as_json_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [{"a": "x\ny", "b": None}, {"a": "Zürich", "b": 2}]
    show_rows(rows, ("a",), as_json=True, empty="none")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows


def test_a_table_shows_the_columns_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"lag_seconds": 3, "name": "a", "hidden": "no"}], ("name", "lag_seconds"), as_json=False, empty="none")
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "lag", "seconds"]
    assert row.split() == ["a", "3"]


def test_markup_in_values_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"name": "[bold]x[/bold]"}], ("name",), as_json=False, empty="none")
    assert "[bold]x[/bold]" in capsys.readouterr().out


def test_no_rows_say_what_that_means(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], ("a",), as_json=False, empty="nothing here")
    assert capsys.readouterr().out == "nothing here\n"


def test_one_thing_is_names_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    show_one({"a": 1, "long": {"b": "x\x1by"}}, as_json=False)
    assert capsys.readouterr().out == 'a     1\nlong  {"b": "x\\u001by"}\n'


def test_nobody_at_a_terminal_gets_one_row_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"name": "a", "why": "long " * 60}], ("name", "why"), as_json=False, empty="none")
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_people_copy_is_whole_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    row = {"name": "billing", "why": "long " * 30, "secret": "whsec_" + "x" * 44}
    show_rows([row], ("name", "why", "secret"), as_json=False, empty="none")
    assert row["secret"] in capsys.readouterr().out


def test_nothing_is_told_as_none_and_yes_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_one({"eta_s": None, "fine": True}, as_json=False)
    assert capsys.readouterr().out == "eta_s  none\nfine   true\n"
