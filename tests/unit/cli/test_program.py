"""The program: help for every command, exit statuses, and errors in one line on standard error."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import pipeline
from pipeline.cli.program import command_line
from tests.unit.cli.commands import Program

WIDTH = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}


def commands() -> Iterator[tuple[str, ...]]:
    """Every command line that can be asked for help: groups and what is in them."""

    def walk(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*words, name))

    return walk(command_line(), ())


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_explains_itself(
    program: Program, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WIDTH.items():
        monkeypatch.setenv(name, value)
    ended = program(*words, "--help")
    assert (ended.status, ended.err) == (0, "")
    assert "Usage: pipeline" in ended.out
    first_sentence = ended.out.split("\n\n")[1].strip()
    assert len(first_sentence) > 20, "a line that says what it does"


@pytest.mark.parametrize("words", [(), ("topics",), ("subs",), ("dlq",), ("replay",), ("secrets",)], ids=" ".join)
def test_what_a_command_does_fits_its_line(
    program: Program, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = program(*words, "--help").out.partition("Commands:")[2].splitlines()
    assert len(listed) > 1
    assert [line for line in listed if line.endswith("...")] == []


def test_the_commands_are_those_that_scripts_know() -> None:
    words = {" ".join(one) for one in commands()}
    assert {"dev", "serve", "gateway", "bridge", "lag", "tail", "replay", "kafka", "config"} <= words
    assert {"topics list", "topics plan", "topics apply"} <= words
    assert {"subs list", "subs show", "subs apply", "subs pause", "subs resume", "subs delete"} <= words
    assert {"subs plan", "subs create", "subs edit", "subs test", "subs rotate-secret", "subs secret"} <= words
    assert {"subs reset", "subs attempts", "subs release", "secrets rewrap"} <= words
    assert {"dlq list", "dlq show", "dlq redrive"} <= words


def test_the_version_is_the_products(program: Program) -> None:
    ended = program("--version")
    assert (ended.status, ended.out.strip()) == (0, pipeline.__version__)


@pytest.mark.parametrize("words", [("nonsense",), ("subs", "nonsense"), ("lag", "--nonsense"), ("subs", "pause")])
def test_what_is_no_command_is_an_error(program: Program, words: tuple[str, ...]) -> None:
    ended = program(*words)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.strip()


def test_an_error_is_one_line_on_standard_error(program: Program) -> None:
    ended = program("subs", "show", "nobody")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "error: subscription 'nobody' does not exist; `pipeline subs list` shows them\n"


def test_a_setting_that_is_wrong_is_named(program: Program) -> None:
    (program.folder / "pipeline.toml").write_text("[gateway]\nprot = 1\n")
    ended = program("lag")
    assert ended.status == 1
    assert re.match(r"error: gateway\.prot: .* gateway\.port\n\Z", ended.err)


def test_a_kafka_that_does_not_answer_says_which_and_what_to_do(program: Program) -> None:
    program.down = True
    ended = program("lag")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: no answer from Kafka: ")
    assert "--bootstrap-servers" in ended.err
