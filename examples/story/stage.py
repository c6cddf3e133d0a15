"""The stage: `pipeline dev` as a child process in a folder of its own, and commands run in that folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from pipeline.embedded.child import Child, Command

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"^ready (http://\S+) kafka (\S+)$", re.MULTILINE)
# The first start ever fetches Kafka; later ones take seconds.
START_S = 600.0
STOP_S = 30.0
COMMAND_S = 60.0
PROGRAM = [sys.executable, "-m", "pipeline"]
Tell = Callable[[str], None]


class StageFailed(Exception):
    """The product did not do what the story needs; the text is what it said."""


class Stage:
    """A running `pipeline dev`. `pipeline` runs a command in its folder, as you would in a second terminal."""

    def __init__(self, directory: Path, child: Child, url: str, kafka: str) -> None:
        self.directory, self.url, self.kafka = directory, url, kafka
        self._child = child

    async def pipeline(self, *words: str) -> str:
        """What `pipeline <words>` prints. Raises `StageFailed` unless it exits with 0."""
        running = await asyncio.create_subprocess_exec(
            *PROGRAM, *words, cwd=self.directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(COMMAND_S):
                out, err = await running.communicate()
        except TimeoutError:
            raise StageFailed(f"pipeline {' '.join(words)} took more than {COMMAND_S:.0f} s") from None
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()
        if running.returncode:
            raise StageFailed(f"pipeline {' '.join(words)} exited with {running.returncode}: {err.decode().strip()}")
        return out.decode()

    async def ended(self) -> int:
        """Wait until `pipeline dev` ends by itself; its exit status."""
        while (status := self._child.status()) is None:  # noqa: ASYNC110 - it lives in another process
            await asyncio.sleep(0.5)
        return status


@contextlib.asynccontextmanager
async def stage(tell: Tell) -> AsyncIterator[Stage]:
    """Start it, wait for its line, stop it and remove its folder. ``tell`` hears of long work (the first fetch)."""
    for name in [name for name in os.environ if name.startswith("PIPELINE_") and name != "PIPELINE_CACHE_DIR"]:
        del os.environ[name]  # a broker or settings of yours are not for this play
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["COLUMNS"] = "100"
    directory = Path(tempfile.mkdtemp(prefix="pipeline-demo-"))
    output = directory / "dev.log"
    child: Child | None = None
    try:
        for folder in ("topics", "schemas"):
            shutil.copytree(ROOT / folder, directory / folder)
        words = [*PROGRAM, "dev", "--dir", str(directory), "--port", "0", "--kafka-port", "0"]
        # The child's keeper ends it when we end, however we end: Ctrl-C, a crash, kill -9.
        child = Child(Command(words=words, output=output, grace_s=STOP_S))
        url, kafka = await _ready(child, output, tell)
        yield Stage(directory, child, url, kafka)
    finally:
        if child is not None:
            await asyncio.shield(asyncio.to_thread(child.stop))
        shutil.rmtree(directory, ignore_errors=True)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


async def _ready(child: Child, output: Path, tell: Tell) -> tuple[str, str]:
    told, deadline = 0, time.monotonic() + START_S
    while time.monotonic() < deadline:
        text = _text(output)
        if found := READY.search(text):
            return found[1], found[2]
        lines = text.splitlines()
        for line in lines[told:]:
            tell(line)
        told = len(lines)
        if (status := child.status()) is not None:
            raise StageFailed(f"pipeline dev ended with {status}: {text[-2000:].strip()}")
        await asyncio.sleep(0.05)
    raise StageFailed(f"pipeline dev was not ready after {START_S:.0f} s")
