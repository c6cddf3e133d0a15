"""A class-data archive (AppCDS, JEP 310) of this Java and these jars: Kafka and its tools start in half the time.

It is made from ``classes.list.gz``, the classes that a broker and the usual tools load. To renew the list after a
change of the pin: run a broker and some tools with ``-XX:DumpLoadedClassList=<file>``, keep the union of the lines.

Making it takes 6-10 s of CPU, so a process at the lowest priority does it after the first start, and stops when the
broker does; ``prepare`` waits for it. Java checks that an archive fits its own build and class path, and goes on
without one that does not (``-Xshare:auto``). One that could not be made is not tried again until the jars change.
Limits: ``ARCHIVES_MAX`` archives of about 65 MB are kept, the longest unused go first.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from importlib import resources
from pathlib import Path
from typing import IO, Self

from pipeline.embedded.child import Child, Command
from pipeline.embedded.distribution import Distribution
from pipeline.embedded.java import Java
from pipeline.embedded.places import try_lock

ARCHIVES_MAX = 3
DUMP_HEAP = "-Xmx512m"
STOP_GRACE_S = 0.2  # there is nothing to finish: what is not whole is thrown away
LOWEST_PRIORITY = 19
# An archive holds heap objects laid out for one collector, so every run names the same one.
COLLECTOR = "-XX:+UseSerialGC"


def archive_file(distribution: Distribution, java: Java) -> Path:
    """Where the archive of this Java and these jars is or would be."""
    identity = f"{java.path.resolve()}\n{java.build}".encode()
    return distribution.home / f"{hashlib.sha256(identity).hexdigest()[:16]}.jsa"


def archive_options(distribution: Distribution, java: Java) -> list[str]:
    """Java options that use the archive if there is one."""
    archive = archive_file(distribution, java)
    if not archive.exists():
        return []
    os.utime(archive)  # "last used", for the pruning
    return [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"]


class ArchiveMaking:
    """The making of one archive in the background. ``begin`` returns None when there is nothing to make."""

    def __init__(self, child: Child, lock: IO[str], part: Path, archive: Path) -> None:
        self._child, self._lock, self._part, self._archive = child, lock, part, archive
        self._stopped = False
        self._finisher = threading.Thread(target=self._finish, name="kafka-archive", daemon=True)
        self._finisher.start()

    @classmethod
    def begin(cls, distribution: Distribution, java: Java) -> Self | None:
        archive = archive_file(distribution, java)
        if archive.exists() or _failed(archive).exists():
            return None
        lock = try_lock(archive.with_suffix(".lock"))
        if lock is None:  # another process is at it
            return None
        for left_over in archive.parent.glob(f"{archive.name}.part*"):
            left_over.unlink()
        part = archive.with_name(f"{archive.name}.part")
        classes = archive.with_suffix(".classes")
        packed = resources.files("pipeline.embedded").joinpath("classes.list.gz").read_bytes()
        classes.write_bytes(gzip.decompress(packed))
        words = [   str(java.path), "-Xshare:dump", DUMP_HEAP, COLLECTOR,
                 f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={part}"]  # fmt: skip
        output = archive.with_suffix(".log")
        environment = {"CLASSPATH": distribution.class_path}
        child = Child(
            Command(
                words=words, output=output, grace_s=STOP_GRACE_S, niceness=LOWEST_PRIORITY, environment=environment
            ),
            lock,
        )
        return cls(child, lock, part, archive)

    def wait(self) -> bool:
        """Was it made? Returns when that is known."""
        self._finisher.join()
        return self._archive.exists()

    def stop(self) -> None:
        """Give up what is not finished; the next start begins anew."""
        self._stopped = True
        self._child.stop()
        self._finisher.join()

    def _finish(self) -> None:
        status = self._child.wait()
        if status == 0 and self._part.exists():
            self._part.rename(self._archive)
            _prune(self._archive.parent)
        else:
            self._part.unlink(missing_ok=True)
            if not self._stopped:
                _failed(self._archive).write_text(f"-Xshare:dump ended with status {status}\n")
        self._archive.with_suffix(".classes").unlink(missing_ok=True)
        self._lock.close()


def _failed(archive: Path) -> Path:
    return archive.with_suffix(".failed")


def _prune(directory: Path) -> None:
    archives = sorted(directory.glob("*.jsa"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in archives[ARCHIVES_MAX:]:
        old.unlink(missing_ok=True)
