"""The compiled package is the same product: it passes the tests of what was compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("hatch_mypyc")
ROOT = Path(__file__).resolve().parents[2]
CAP_S = 400.0
BUILD = ["-m", "pip", "wheel", ".", "--quiet", "--no-deps", "--no-build-isolation", "-w"]
INSTALL = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"]
TESTS = ["delivery", "kafka/reading", "push", "webhook", "test_record.py", "test_signing.py"]
WHICH = "import pipeline.push.run as run, pipeline.record as record; print(run.__file__, record.__file__)"

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(CAP_S)]


def run(words: list[str], where: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=where,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_what_is_compiled_passes_the_same_tests(tmp_path: Path) -> None:
    if shutil.which("cc") is None and not os.environ.get("CI"):
        pytest.skip("no C compiler")
    source, wheels, package = tmp_path / "source", tmp_path / "wheels", tmp_path / "package"
    shutil.copytree(ROOT / "pipeline", source / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run([*BUILD, str(wheels)], source, HATCH_BUILD_HOOK_ENABLE_MYPYC="1")
    run([*INSTALL, str(package), *map(str, wheels.iterdir())], tmp_path)
    # Tests beside it, so that it is this package they find.
    shutil.copytree(ROOT / "tests", package / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", package)
    assert run(["-c", WHICH], package).count(".so") == 2
    told = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/unit/{name}" for name in TESTS)], package)
    assert " passed" in told
