"""Where fetched files are kept between runs, and locks that hold between processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import EmbeddedError

LOCK_POLL_S = 0.05


def cache_dir() -> Path:
    """``PIPELINE_CACHE_DIR``, else ``XDG_CACHE_HOME/event-pipeline``, else ``~/.cache/event-pipeline``."""
    if own := os.environ.get("PIPELINE_CACHE_DIR"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "event-pipeline"


def try_lock(path: Path, *, shared: bool = False) -> IO[str] | None:
    """The open file that holds the lock (close it to let go), or None when another process holds it.

    flock belongs to the open file, so a child that inherits the descriptor keeps the lock after we are gone. Raises
    EmbeddedError where no file can be made.
    """
    try:
        import fcntl  # noqa: PLC0415 - not there on Windows, where the rest of the product still imports
    except ImportError as error:
        raise EmbeddedError("the embedded Kafka runs on Linux and macOS; use a broker of yours here") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise EmbeddedError(f"{path.parent} cannot be written to ({error.strerror})") from error
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def locked(path: Path, *, timeout_s: float, shared: bool = False) -> Iterator[None]:
    """Hold the lock; raises EmbeddedError when another process does not let go within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while (file := try_lock(path, shared=shared)) is None:
        if time.monotonic() > deadline:
            raise EmbeddedError(f"another process has held {path} for {timeout_s:.0f} s")
        time.sleep(LOCK_POLL_S)
    try:
        yield
    finally:
        file.close()


def process_lives(pid: str) -> bool:
    """Does a process of that id exist? False for what is no id."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, ProcessLookupError):
        return False
    return True
