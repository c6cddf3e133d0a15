"""The jars of one Kafka release, exactly as pinned in ``jars.json``, fetched once and shared by all runs.

The pin is the flat class path that Maven resolves; jgo fetches each coordinate but resolves nothing, because its
conflict rule picks other versions than Maven does. Every file is checked against its SHA-256 before it is used.
Later starts check names and sizes only: hashing 58 MB would cost a tenth of the start.

Limits: ``FETCH_THREADS`` downloads at once, ``TRIES`` each, ``FETCH_LOCK_S`` of waiting for another process's fetch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.embedded.places import cache_dir, locked
from pipeline.errors import EmbeddedError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

FETCH_THREADS = 8
FETCH_LOCK_S = 900.0
HTTP_TIMEOUT_S = 60
TRIES = 3
HOW_TO_INSTALL = "pip install event-pipeline[embedded]"

Tell = Callable[[str], None]


class Jar(msgspec.Struct, frozen=True):
    """One file of the class path; ``jar`` is ``group:artifact:version``."""

    jar: str
    sha256: str
    bytes: int

    @property
    def file_name(self) -> str:
        _, artifact, version = self.jar.split(":")
        return f"{artifact}-{version}.jar"


class Pin(msgspec.Struct, frozen=True):
    """A Kafka version and all jars that make it up."""

    kafka: str
    jars: tuple[Jar, ...]

    @property
    def digest(self) -> str:
        """Names this very set of files."""
        return hashlib.sha256("".join(jar.sha256 for jar in self.jars).encode()).hexdigest()[:12]


def load_pin() -> Pin:
    """What this release of ours runs."""
    return msgspec.json.decode(resources.files("pipeline.embedded").joinpath("jars.json").read_bytes(), type=Pin)


class Distribution(msgspec.Struct, frozen=True):
    """A complete set of jars on disk."""

    version: str
    home: Path
    file_names: tuple[str, ...]

    @property
    def class_path(self) -> str:
        """All jars one by one in the order of the pin: a class-data archive fits only the very same text."""
        return os.pathsep.join(str(self.home / "libs" / name) for name in self.file_names)


def is_complete(libs: Path, pin: Pin) -> bool:
    """Are exactly the pinned files there, by name and size?"""
    try:
        found = {entry.name: entry.stat().st_size for entry in os.scandir(libs)}
    except FileNotFoundError:
        return False
    return found == {jar.file_name: jar.bytes for jar in pin.jars}


def ensure_distribution(tell: Tell = lambda _: None) -> Distribution:
    """The jars, fetched on first use. Safe when several processes call it at once.

    Raises EmbeddedError: no network on the first fetch, a checksum that does not match, extra not installed.
    """
    return ensure_jars(load_pin(), tell)


def ensure_jars(pin: Pin, tell: Tell = lambda _: None) -> Distribution:
    """The same for any pin."""
    home = cache_dir() / f"kafka-{pin.kafka}-{pin.digest}"
    libs = home / "libs"
    if not is_complete(libs, pin):
        with locked(home.with_name(home.name + ".lock"), timeout_s=FETCH_LOCK_S):
            if not is_complete(libs, pin):
                _fetch(pin, home, libs, tell)
    return Distribution(pin.kafka, home, tuple(jar.file_name for jar in pin.jars))


def _fetch(pin: Pin, home: Path, libs: Path, tell: Tell) -> None:
    """Under the lock: fill ``home/fetching``, then put it in place by one rename. What was fetched before is kept."""
    staging, downloads = home / "fetching", home / "downloads"
    staging.mkdir(parents=True, exist_ok=True)
    for broken in staging.glob("*.part"):
        broken.unlink()
    contexts = _contexts(downloads)
    total_mb = sum(jar.bytes for jar in pin.jars) // 1_000_000
    tell(f"fetching Apache Kafka {pin.kafka} once: {len(pin.jars)} jars, {total_mb} MB")
    with ThreadPoolExecutor(FETCH_THREADS) as pool:
        futures = [pool.submit(_fetch_jar, jar, staging, contexts) for jar in pin.jars]
        try:
            for done, future in enumerate(futures, 1):
                future.result()
                if done % 20 == 0:
                    tell(f"fetching Apache Kafka {pin.kafka}: {done} of {len(pin.jars)} jars")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for stale in home.glob("*.jsa"):  # archives are bound to the jars' times
        stale.unlink()
    shutil.rmtree(libs, ignore_errors=True)
    staging.rename(libs)
    shutil.rmtree(downloads, ignore_errors=True)


def _contexts(downloads: Path) -> list[MavenContext]:
    """Where to look: the user's own Maven repository on this machine, then the network as jgo is configured."""
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 - an optional extra, imported when used
        from jgo.maven import MavenContext  # noqa: PLC0415
    except ImportError as error:
        raise EmbeddedError(f"the embedded Kafka needs packages that are not installed: {HOW_TO_INSTALL}") from error
    settings = GlobalSettings.load()
    remote = settings.repositories or None
    local = MavenContext(repo_cache=settings.repo_cache, offline=True)
    return [local, MavenContext(repo_cache=downloads, remote_repos=remote, timeout=HTTP_TIMEOUT_S)]


def _fetch_jar(jar: Jar, staging: Path, contexts: list[MavenContext]) -> None:
    target = staging / jar.file_name
    if target.exists() and _sha256(target) == jar.sha256:
        return
    local, remote = contexts
    try:
        found = local.create_dependency(jar.jar).artifact.resolve()
        if _sha256(found) == jar.sha256:
            _copy(found, target)
            return
    except RuntimeError:  # jgo's word for "not on this machine"
        pass
    _download(jar, target, remote)


def _download(jar: Jar, target: Path, remote: MavenContext) -> None:
    import requests  # noqa: PLC0415 - comes with jgo

    artifact = remote.create_dependency(jar.jar).artifact
    last: Exception | None = None
    for _ in range(TRIES):
        if artifact.cached_path is not None:
            artifact.cached_path.unlink(missing_ok=True)
        try:
            found = artifact.resolve()
        except (requests.RequestException, OSError) as error:
            last = error
            continue
        except RuntimeError as error:
            raise EmbeddedError(f"{jar.jar} cannot be fetched: {error}") from error
        actual = _sha256(found)
        if actual != jar.sha256:
            found.unlink()
            raise EmbeddedError(f"{jar.jar} is not the pinned file: its SHA-256 is {actual}, not {jar.sha256}")
        found.replace(target)
        return
    raise EmbeddedError(
        f"{jar.jar} could not be fetched ({last}). The first start needs the network (58 MB, kept in {cache_dir()});"
        " without one, set PIPELINE_BOOTSTRAP_SERVERS to a broker of yours"
    ) from last


def _copy(source: Path, target: Path) -> None:
    part = target.with_suffix(".part")
    shutil.copyfile(source, part)
    part.replace(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
