"""What came from outside is printed on one line and cannot move a terminal's cursor."""

from __future__ import annotations

import pytest

from pipeline.cli.show import safe, show_one, show_rows


def test_controls_and_direction_marks_become_escapes() -> None:
    assert safe("a\x1b[2J\n\u202eb") == "a\\x1b[2J\\x0a\\x202eb"


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"a": 1}, {"a": "\x1b"}], ("a",), as_json=True, empty="none")
    assert capsys.readouterr().out == '{"a": 1}\n{"a": "\\u001b"}\n'


def test_no_rows_are_said_in_words_and_are_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], ("a",), as_json=False, empty="nothing here")
    show_rows([], ("a",), as_json=True, empty="nothing here")
    assert capsys.readouterr().out == "nothing here\n"


def test_a_table_has_its_columns_and_shows_absent_values_as_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(
        [{"group": "app.a", "lag": 3}, {"group": "app.b", "lag": None}], ("group", "lag"), as_json=False, empty=""
    )
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["group  lag", "app.a    3", "app.b"]


def test_one_thing_is_names_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    show_one({"name": "x", "partitions": [1, 2]}, as_json=False)
    assert capsys.readouterr().out == "name        x\npartitions  [1, 2]\n"
