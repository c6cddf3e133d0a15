"""Every promise and every threat that the page tells has a test that exists, a command that runs it, and a figure."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import NamedTuple

import pytest

from bench.__main__ import PARTS
from tests.unit.docs.test_pages import ROOT, page

PROMISES = tuple(f"P{number}" for number in range(1, 12))
THREATS = (*(f"S{number}" for number in range(1, 12)), "S15", "S21", "S22", "S27", "S31")
TEST = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")
COMMAND = re.compile(r"^Run: `([^`]+)`", re.MULTILINE)


class Row(NamedTuple):
    """What is done, the tests that do it, what came of it."""

    done: str
    tests: list[str]
    figure: str


@cache
def sections() -> dict[str, str]:
    """Texts below the headings that begin with a short name, by that name."""
    parts = re.split(r"^### ([PS]\d+) [^\n]+\n", page("docs/promises.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (text.partition("\n## ")[0] for text in parts[2::2]), strict=True))


def rows(text: str) -> list[Row]:
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(done, TEST.findall(held), figure) for done, held, figure in cells]


@cache
def collected_from(file: str) -> frozenset[str]:
    """Names of the test functions that pytest collects from ``file``."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions)


def test_every_promise_and_threat_has_its_section_once() -> None:
    titles = re.findall(r"^### ([PS]\d+) ", page("docs/promises.md"), flags=re.MULTILINE)
    assert titles == [*PROMISES, *THREATS]


@pytest.mark.parametrize("name", [*PROMISES, *THREATS])
def test_it_is_held_by_tests_that_exist_each_with_what_came_of_it(name: str) -> None:
    found = rows(sections()[name])
    assert found, "no table"
    for row in found:
        assert row.done and row.tests and row.figure, row
        for test in row.tests:
            file, _, function = test.partition("::")
            assert function in collected_from(file), test


@pytest.mark.parametrize("name", [*PROMISES, *THREATS])
def test_its_command_runs_what_its_table_names(name: str) -> None:
    commands = COMMAND.findall(sections()[name])
    assert commands, "no command"
    for command in commands:
        words = command.split()
        if words[:3] == ["python", "-m", "bench"]:
            assert words[3] in PARTS, command
            continue
        assert "make" in words, command
        for target in re.findall(r"tests/[\w/.]+", command):
            assert (ROOT / target).exists(), command


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert "test_nothing_of_the_kind" not in collected_from("tests/faults/test_faults.py")
    assert "test_worker_kill_9" in collected_from("tests/faults/test_faults.py")
