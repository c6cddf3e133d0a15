"""EmbeddedKafka: one broker and controller in one process, started, awaited and stopped."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from importlib import resources
from pathlib import Path
from typing import IO, Self

import msgspec

from pipeline.embedded.archive import COLLECTOR, ArchiveMaking, archive_options
from pipeline.embedded.child import Child, Command
from pipeline.embedded.distribution import Distribution, Tell, ensure_distribution
from pipeline.embedded.failure import IN_USE, Ended, diagnosis, port_taken
from pipeline.embedded.java import Java, find_java
from pipeline.embedded.places import process_lives, try_lock
from pipeline.embedded.ports import answers, free_port, holder
from pipeline.embedded.settings import EmbeddedSettings, properties_text, server_properties
from pipeline.embedded.storage import damage, format_log_dir
from pipeline.errors import EmbeddedError

READY = "Kafka Server started"
POLL_S = 0.02
PORT_TRIES = 3
TAIL_BYTES = 64 * 1024


class EmbeddedKafka:
    """A real Kafka on the loopback address: ``start``/``stop`` for asyncio, ``start_blocking``/``stop_blocking`` else.

    Both are context managers. Starting raises EmbeddedError, whose text says what to do about it. The data directory is
    kept; so is a free port that was chosen, when the same object starts again. ``tell`` hears of long work (the fetch).
    """

    def __init__(self, settings: EmbeddedSettings, tell: Tell = lambda _: None) -> None:
        # Absolute, so that a later start from another working directory finds the same data.
        self._settings = msgspec.structs.replace(settings, data_dir=settings.data_dir.absolute())
        self._tell = tell
        self._abandoned = threading.Event()
        self._lock: IO[str] | None = None
        self._child: Child | None = None
        self._archiving: ArchiveMaking | None = None
        self._port = settings.port

    @property
    def bootstrap_servers(self) -> str:
        """``127.0.0.1:<port>``, known once it has started."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The broker's own process id while it runs, else None."""
        return self._child.pid if self._child is not None and self._child.status() is None else None

    def failure(self) -> str | None:
        """Why a broker that was started and not stopped has ended, else None. Ask now and then."""
        if self._child is None or (status := self._child.status()) is None:
            return None
        return self._why(status)

    async def start(self) -> None:
        """Ready to be connected to when it returns. Cancelling it stops what was started."""
        try:
            await asyncio.to_thread(self.start_blocking)
        except asyncio.CancelledError:
            self._abandoned.set()
            raise

    async def stop(self) -> None:
        """Gone when it returns: SIGTERM, ``stop_timeout_s``, SIGKILL. Harmless when it does not run."""
        await asyncio.to_thread(self.stop_blocking)

    def start_blocking(self) -> None:
        if self.pid is not None:
            return
        self._abandoned.clear()
        distribution, java = ensure_distribution(self._tell), find_java()
        self._lock = self._take_data_dir()
        try:
            self._ready_log_dir(self._settings.data_dir / "logs")
            self._start_on_some_port(distribution, java)
        except BaseException:
            self.stop_blocking()
            raise
        self._archiving = ArchiveMaking.begin(distribution, java)

    def stop_blocking(self) -> None:
        if self._archiving is not None:
            self._archiving.stop()
        if self._child is not None:
            self._child.stop()
        if self._lock is not None:
            self._lock.close()
        self._archiving = self._child = self._lock = None

    def _take_data_dir(self) -> IO[str]:
        """Exclusive use of the data directory. A broker whose owner has crashed is about to stop; that is awaited."""
        path = self._settings.data_dir / "owner.lock"
        deadline = time.monotonic() + self._settings.stop_timeout_s + 5
        while (lock := try_lock(path)) is None:
            owner = path.read_text().strip()
            if process_lives(owner) or time.monotonic() > deadline:
                raise EmbeddedError(f"{self._settings.data_dir} {IN_USE} by process {owner or '?'}: one broker each")
            time.sleep(POLL_S)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    def _ready_log_dir(self, logs: Path) -> None:
        member = self._settings.member
        if member is None:
            format_log_dir(logs)
        else:
            format_log_dir(logs, node_id=member.node_id, cluster_id=member.cluster_id)
        if what := damage(logs):
            raise EmbeddedError(
                f"{self._settings.data_dir} is damaged: {what}; move it away to start with an empty one"
            )

    def _start_on_some_port(self, distribution: Distribution, java: Java) -> None:
        """A port that was asked for must be free; chosen ones can be lost before they are bound, and then change."""
        if self._port and answers(self._port):
            raise EmbeddedError(port_taken(self._port, holder(self._port)))
        for left in reversed(range(PORT_TRIES)):
            port = self._port or free_port()
            try:
                self._start_once(distribution, java, port)
            except EmbeddedError as error:
                if IN_USE not in str(error) or not left:
                    raise
            else:
                self._port = port
                return

    def _start_once(self, distribution: Distribution, java: Java, port: int) -> None:
        properties = self._settings.data_dir / "server.properties"
        properties.write_text(properties_text(server_properties(self._settings, port, free_port())))
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".log.1"))
        command = Command(
            words=[*self._java_words(distribution, java), "kafka.Kafka", str(properties)],
            output=self._output,
            grace_s=self._settings.stop_timeout_s,
            environment={"CLASSPATH": distribution.class_path},
        )
        self._child = Child(command, self._lock)
        self._await_ready(self._child, port)

    def _java_words(self, distribution: Distribution, java: Java) -> list[str]:
        log4j = resources.files("pipeline.embedded").joinpath("log4j2-broker.xml")
        return [
            str(java.path), "-Xms128m", f"-Xmx{self._settings.heap_mb}m", COLLECTOR, "-XX:MaxDirectMemorySize=256m",
            "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true",
            *(["-XX:TieredStopAtLevel=1"] if self._settings.fast else []),
            *archive_options(distribution, java),
            f"-Dlog4j2.configurationFile={log4j}", f"-Dpipeline.log={self._log}",
        ]  # fmt: skip

    def _await_ready(self, child: Child, port: int) -> None:
        """The broker says so in its log, and its port answers."""
        deadline = time.monotonic() + self._settings.start_timeout_s
        while not (READY in _tail(self._log) and answers(port)):
            status = child.status()
            if status is not None:
                raise EmbeddedError(self._why(status))
            if self._abandoned.is_set():
                raise EmbeddedError("the start was abandoned")
            if time.monotonic() > deadline:
                waited_s = self._settings.start_timeout_s
                raise EmbeddedError(f"Kafka was not ready after {waited_s:.0f} s; {self._log} may say why")
            time.sleep(POLL_S)

    def _why(self, status: int) -> str:
        settings = self._settings
        log = _tail(self._log) + _tail(self._output)
        return diagnosis(Ended(status=status, log=log, data_dir=str(settings.data_dir), heap_mb=settings.heap_mb))

    @property
    def _log(self) -> Path:
        """What Kafka logs."""
        return self._settings.data_dir / "broker.log"

    @property
    def _output(self) -> Path:
        """What Java itself says: start-up errors, crashes."""
        return self._settings.data_dir / "java.out"

    def __enter__(self) -> Self:
        self.start_blocking()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_blocking()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
