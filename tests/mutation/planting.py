"""Plants one fault in a copy of the package and tells which tests notice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutation.faults import Fault

ROOT = Path(__file__).parents[2]
# Column of the table -> what is run for it.
SUITES = {
    "unit": ("tests/unit/delivery",),
    "machine": ("tests/property/test_delivery_machine.py", "tests/property/test_recovery.py"),
    "property": tuple(f"tests/property/test_{of}.py" for of in ("ackmap", "batching", "pointer", "watermark")),
}
# The property tests of values import these and nothing else of the core.
VALUES = ("ackmap.py", "batching.py", "pointer.py", "watermark.py")
# What the simulation lives through for a planted fault: so many seeds, or until it notices, or for so long.
SIMULATED = ("--first", "1", "--seeds", "600", "--seconds", "100", "--stop")
_COPIED = ("pipeline", "pyproject.toml", "tests/unit/delivery", "tests/property", "tests/mutation/profile.py")
_COPIED_FOR_SYSTEM = (
    "pipeline",
    "pyproject.toml",
    "tests/simulation",
    "tests/fakes",
    "tests/unit/push",
    "tests/mutation/profile.py",
)
# A fault may make a loop endless; a test that takes so long has noticed.
TEST_S_MAX = 60
WORKERS = 2


class FaultDoesNotApply(Exception):
    """The source has changed and the fault has to be planted anew."""


def plant(fault: Fault | None, at: Path, *, of_system: bool = False) -> None:
    """Copy package and tests to ``at``, with ``fault`` in them; raises `FaultDoesNotApply`."""
    for name in _COPIED_FOR_SYSTEM if of_system else _COPIED:
        source, target = ROOT / name, at / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    if fault is not None:
        path = at / "pipeline" / fault.file if of_system else at / "pipeline" / "delivery" / fault.file
        text = path.read_text()
        if text.count(fault.before) != 1:
            raise FaultDoesNotApply(f"{fault.name}: {fault.file} has {text.count(fault.before)} times {fault.before!r}")
        path.write_text(text.replace(fault.before, fault.after))


INTERNAL_ERROR = 3
"""pytest's status when it failed itself."""


def killers(fault: Fault | None) -> dict[str, bool]:
    """Per suite that is run for ``fault`` (``None`` plants none), whether it notices."""
    suites = [suite for suite in SUITES if suite != "property" or fault is None or fault.file in VALUES]
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        at = Path(directory)
        plant(fault, at)
        failed = _failed_tests([path for suite in suites for path in SUITES[suite]], at)
    return {suite: any(test.startswith(SUITES[suite]) for test in failed) for suite in suites}


def _failed_tests(paths: Iterable[str], at: Path) -> list[str]:
    options = ["-q", "-rfE", "--tb=no", "--noconftest", "-p", "no:cacheprovider", f"--timeout={TEST_S_MAX}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "tests.mutation.profile", *paths],
        cwd=at,
        env={**os.environ, "PYTHONPATH": str(at), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == INTERNAL_ERROR and re.search(r"^\d+ failed", done.stdout, re.MULTILINE):
        # A fault may raise where pytest finds no line to tell of: tests had failed by then, and it does not say which.
        return list(paths)[:1]
    failed = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    # 0: all passed, 1: some failed, 2: a test file could not be read. Anything else never came to the tests.
    if done.returncode not in (0, 1, 2) or bool(failed) != bool(done.returncode):
        raise RuntimeError(f"pytest ended with {done.returncode} in {at}:\n{done.stdout}\n{done.stderr}")
    return failed


def kill_matrix(faults: Iterable[Fault | None]) -> Iterator[tuple[Fault | None, dict[str, bool]]]:
    """`killers` of each fault, in order."""
    faults = list(faults)
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from zip(faults, pool.map(killers, faults), strict=True)


def simulated(fault: Fault | None) -> str:
    """What the simulation says of the bridge with ``fault`` in it: the seed and the promise it broke. Where it finds
    nothing (a second line of defence is behind a first), the unit test that does; empty: none.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        at = Path(directory)
        plant(fault, at, of_system=True)
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", *SIMULATED],
            cwd=at,
            env={**os.environ, "PYTHONPATH": str(at), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        found = [line for line in done.stdout.splitlines() if line.startswith("seed ")]
        if not found and done.returncode == 0 and fault is not None:
            return "".join(_failed_tests(["tests/unit/push"], at)[:1])
    if done.returncode not in (0, 1) or bool(found) != bool(done.returncode):
        raise RuntimeError(f"the simulation ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return found[0] if found else ""


def simulated_matrix(faults: Iterable[Fault | None]) -> Iterator[tuple[Fault | None, str]]:
    """`simulated` of each fault, in order."""
    faults = list(faults)
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from zip(faults, pool.map(simulated, faults), strict=True)
