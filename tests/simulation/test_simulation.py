"""The whole bridge in virtual time, over many seeds; each is replayed by ``python -m tests.simulation --seed N``.

How many: ``SIMULATION_SEEDS`` and ``SIMULATION_SECONDS`` bound a run; the rate is printed, never asserted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FAILING = Path(__file__).with_name("failing_seeds.txt")
ROOT = Path(__file__).parents[2]


def simulate(*arguments: str) -> str:
    """Run in a process of its own, where sets of strings have the same order each time."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def known() -> list[str]:
    lines = FAILING.read_text().splitlines()
    return [line.split()[0] for line in lines if line and not line.startswith("#")]


@pytest.mark.timeout(120)
def test_seeds_that_once_failed_keep_every_promise() -> None:
    simulate("--only", *known())


@pytest.mark.timeout(120)
def test_a_first_look_at_a_few_seeds() -> None:
    simulate("--first", "1", "--seeds", "40", "--seconds", "20")


@pytest.mark.timeout(120)
def test_a_seed_repeats_itself() -> None:
    assert simulate("--seed", "3") == simulate("--seed", "3")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thousands_of_seeds_keep_every_promise() -> None:
    """Time-boxed: as many as go into the seconds, from a number that CI moves on with each run."""
    seeds, seconds = os.environ.get("SIMULATION_SEEDS", "4000"), os.environ.get("SIMULATION_SECONDS", "240")
    simulate("--first", os.environ.get("SIMULATION_FIRST", "100"), "--seeds", seeds, "--seconds", seconds)
