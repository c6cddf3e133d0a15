"""Logs: everything is passed on, what is news to people is a line, nothing per record is."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
import structlog

from pipeline.errors import BrokerUnavailable
from pipeline.hooks import Hooks, SpanMaker
from pipeline.telemetry.logs import DIFFERENT_ERRORS_MAX, LINES_MAX, LINES_S, LoggingHooks, configure_logs
from tests.fakes.bridge import NotingHooks

MOMENTS = [name for name, _ in inspect.getmembers(Hooks, inspect.isfunction) if name.startswith("on_")]
# Of every record, attempt or commit: these are counted, never logged.
MANY_A_SECOND = {"on_attempt", "on_appended", "on_view_bytes", "on_committed", "on_connection"}


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    yield
    structlog.reset_defaults()


def arguments_of(name: str) -> list[Any]:
    """One argument of a fitting kind for each parameter of a hook."""
    kinds = {"int": 1, "float": 0.5, "str": "x", "Exception": BrokerUnavailable("no answer")}
    parameters = list(inspect.signature(getattr(Hooks, name)).parameters.values())[1:]
    return [kinds[str(parameter.annotation)] for parameter in parameters]


@pytest.mark.parametrize("name", MOMENTS)
def test_every_moment_is_passed_on_as_it_came(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    inner = NotingHooks()
    arguments = arguments_of(name)
    getattr(LoggingHooks(inner), name)(*arguments)
    assert inner.told == [(name, tuple(arguments))]
    printed = capsys.readouterr()
    assert printed.out == "", "standard output belongs to commands' results"
    assert bool(printed.err) == (name not in MANY_A_SECOND)


def test_lines_are_json_objects_with_time_level_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    LoggingHooks(Hooks()).on_gap("t", 3, 10, 33)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "gap",
        "level": "error",
        "place": "t/3",
        "first": 10,
        "until": 33,
        "effect": "these offsets are gone",
    }


def test_a_run_that_ends_well_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    hooks = LoggingHooks(Hooks())
    hooks.on_stopped("app.a.replay.1", "done", "the window is delivered")
    hooks.on_stopped("app.a", "blocked", "pointer-missing: t/0")
    levels = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert levels == ["info", "error"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("text")
    LoggingHooks(Hooks()).on_buried("app.a", "exhausted")
    line = capsys.readouterr().err
    assert "dead-letter" in line
    assert "reason=exhausted" in line
    assert "\x1b" not in line


def test_an_error_said_again_and_again_is_logged_at_powers_of_two(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    hooks = LoggingHooks(Hooks())
    for _ in range(1000):
        hooks.on_consumer_error(BrokerUnavailable("no answer"))
    times = [json.loads(line)["times"] for line in capsys.readouterr().err.splitlines()]
    assert times == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_a_flood_is_a_few_lines_and_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    clock = [0.0]
    hooks = LoggingHooks(Hooks(), clock=lambda: clock[0])
    for _ in range(500):
        hooks.on_buried("app.a", "exhausted")
    hooks.on_buried("app.b", "exhausted")
    clock[0] = LINES_S
    hooks.on_buried("app.a", "exhausted")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["run"] for line in lines] == [*["app.a"] * LINES_MAX, "app.b", "app.a"]
    assert lines[-1]["times"] == 500 - LINES_MAX + 1


def test_what_comes_per_record_goes_straight_to_the_inner_hooks() -> None:
    inner = Hooks()
    hooks = LoggingHooks(inner)
    assert (hooks.meter, hooks.on_committed) == (inner.meter, inner.on_committed)
    assert hooks.span_maker("app.a") is None


def test_who_traces_makes_the_spans() -> None:
    class Traced:
        def span_maker(self, run: str) -> SpanMaker:
            return lambda headers, attempt, status, elapsed_s: told.append((run, attempt))

    told: list[tuple[str, int]] = []
    spanned = LoggingHooks(Hooks(), traces=Traced()).span_maker("app.a")
    assert spanned is not None
    spanned((), 3, 204, 0.1)
    assert told == [("app.a", 3)]


def test_what_is_remembered_of_errors_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", level=50)
    hooks = LoggingHooks(Hooks())
    for number in range(DIFFERENT_ERRORS_MAX * 2 + 1):
        hooks.on_consumer_error(BrokerUnavailable(str(number)))
    assert len(hooks._said) <= DIFFERENT_ERRORS_MAX
    assert capsys.readouterr().err == ""


def test_below_the_level_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("text", level=40)
    LoggingHooks(Hooks()).on_moved("app.a", "t", 0, 5)
    assert capsys.readouterr().err == ""
