"""`make demo`: it tells the truth, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
STORY_S = 150.0
GONE_S = 60.0

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(STORY_S + GONE_S)]


@pytest.fixture(autouse=True)
def embedded_only() -> None:
    """The demo plays on its own broker, wherever the other tests get theirs."""
    from pipeline.embedded.distribution import ensure_distribution  # noqa: PLC0415 - the extra may be missing
    from pipeline.errors import EmbeddedError  # noqa: PLC0415 - the same
    from tests.broker_source import missing  # noqa: PLC0415 - the same

    try:
        ensure_distribution()
    except (EmbeddedError, ImportError) as error:
        missing(str(error))


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running demo whose folder is made under ``tmp_path``, as if a terminal had started it."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("KEEP", None)
    running = subprocess.Popen(
        [sys.executable, "examples/demo.py"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield running
    running.kill()
    running.wait()
    assert running.stdout is not None
    running.stdout.close()


def left_over(tmp_path: Path) -> list[str]:
    """Command lines of the demo's processes that still live."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(str(tmp_path) in word for word in words):
            found.append(" ".join(words))
    return found


def none_left(tmp_path: Path, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while left_over(tmp_path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def await_act(demo: subprocess.Popen[str], title: str) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if title in line:
            return
    raise AssertionError(f"the demo ended before {title!r}")


def excerpt() -> list[str]:
    """What the README shows of it, less the outage's seconds, whose course is chance."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text[text.index("<!-- demo: begin -->") : text.index("<!-- demo: end -->")].splitlines()[2:-1]
    return [line.strip() for line in shown if line.strip() and not line.startswith(("second", "billing   "))]


def test_every_check_of_the_story_holds_and_nothing_is_left(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    told, _ = demo.communicate(timeout=STORY_S)
    assert demo.returncode == 0, told
    assert "All 15 checks held" in told
    assert not [line for line in told.splitlines() if len(line) > 100]
    assert not [line for line in excerpt() if line not in told]
    assert none_left(tmp_path, 1.0)
    assert not list(tmp_path.iterdir())


def test_stopped_in_the_middle_it_leaves_nothing(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    await_act(demo, "An endpoint is down")
    demo.send_signal(signal.SIGINT)
    told, _ = demo.communicate(timeout=GONE_S)
    assert demo.returncode == 130, told
    assert "Traceback" not in told
    assert none_left(tmp_path, 1.0)
    assert not list(tmp_path.iterdir())


def test_stopped_while_kafka_starts_it_leaves_nothing(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    deadline = time.monotonic() + GONE_S
    while not any("kafka.Kafka" in words for words in left_over(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    demo.send_signal(signal.SIGINT)
    told, _ = demo.communicate(timeout=GONE_S)
    assert demo.returncode == 130, told
    assert none_left(tmp_path, 1.0)


def test_killed_it_leaves_no_process(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    await_act(demo, "Events go in over HTTP")
    demo.kill()
    demo.wait()
    assert none_left(tmp_path, GONE_S)
