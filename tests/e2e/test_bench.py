"""`make bench` runs and its checks hold; its figures are for quiet machines and are not asked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jgo")

ROOT = Path(__file__).resolve().parents[2]
CAP_S = 120.0

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(CAP_S + 30)]


def test_a_small_round_is_delivered_whole_in_order_and_without_lag() -> None:
    words = ["-m", "bench", "--events", "3000", "--naive-events", "500", "--rounds", "1", "--json"]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=CAP_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours, naive = json.loads(done.stdout)["results"]
    assert (ours["events"], ours["violations"], ours["duplicates"], ours["lag"], ours["attempts"]) == (
        3000,
        0,
        0,
        0,
        3000,
    )
    assert naive["events"] >= 500
