"""EmbeddedKafka: one broker and controller in one process, started, awaited and stopped."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from importlib import resources
from pathlib import Path
from typing import IO, Self

from pipeline.embedded.distribution import Distribution, Tell, ensure_distribution
from pipeline.embedded.failure import diagnosis, port_taken
from pipeline.embedded.java import Java, find_java
from pipeline.embedded.places import try_lock
from pipeline.embedded.settings import EmbeddedSettings, properties_text, server_properties
from pipeline.embedded.storage import format_data_dir
from pipeline.errors import EmbeddedError

READY = "Kafka Server started"
POLL_S = 0.02
PORT_TRIES = 3
TAIL_BYTES = 64 * 1024
KEEPER_SLACK_S = 3.0
ABANDONED_LOCK_S = 20.0


class EmbeddedKafka:
    """A real Kafka on the loopback address. ``start``/``stop`` for asyncio, ``start_blocking``/``stop_blocking`` else.

    Both are context managers. Starting raises EmbeddedError with what to do about it; the data directory is kept.
    """

    def __init__(self, settings: EmbeddedSettings, tell: Tell = lambda _: None) -> None:
        self._settings = settings
        self._tell = tell
        self._lock: IO[str] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._abandoned = threading.Event()
        self._port = 0
        self._pid: int | None = None

    @property
    def bootstrap_servers(self) -> str:
        """``127.0.0.1:<port>``; known once started."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The broker's own process id while it runs, else None."""
        return self._pid if self._keeper is not None and self._keeper.poll() is None else None

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
            self._start_on_some_port(distribution, java)
        except BaseException:
            self.stop_blocking()
            raise

    def stop_blocking(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.terminate()
            try:
                keeper.wait(self._settings.stop_timeout_s + KEEPER_SLACK_S)
            except subprocess.TimeoutExpired:
                keeper.kill()  # the kernel kills the broker with it (Linux); the keeper never hangs on anything else
                keeper.wait()
            for pipe in (keeper.stdin, keeper.stdout):
                if pipe is not None:
                    pipe.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_data_dir(self) -> IO[str]:
        """Exclusive use of the data directory; waits a little for a broker whose owner has just died."""
        path = self._settings.data_dir / "owner.lock"
        deadline = time.monotonic() + ABANDONED_LOCK_S
        while (lock := try_lock(path)) is None:
            owner = path.read_text().strip()
            if _is_alive(owner) or time.monotonic() > deadline:
                raise EmbeddedError(f"{self._settings.data_dir} is in use by process {owner or '?'}: one broker per data directory")
            time.sleep(POLL_S)
        lock.truncate(0)
        lock.write(str(_own_pid()))
        lock.flush()
        return lock

    def _start_on_some_port(self, distribution: Distribution, java: Java) -> None:
        """A fixed port must be free; chosen ones can be lost between choosing and binding, so those are tried again."""
        wanted = self._settings.port
        if wanted and not _is_free(wanted):
            raise EmbeddedError(port_taken(wanted))
        for left in reversed(range(PORT_TRIES)):
            self._port, controller_port = wanted or _free_port(), _free_port()
            try:
                self._start_once(distribution, java, controller_port)
            except EmbeddedError as error:
                if not left or "in use" not in str(error) or (wanted and not _is_free(wanted)):
                    raise
            else:
                return

    def _start_once(self, distribution: Distribution, java: Java, controller_port: int) -> None:
        data = self._settings.data_dir
        format_data_dir(data / "logs")
        properties = data / "server.properties"
        properties.write_text(properties_text(server_properties(self._settings, self._port, controller_port)))
        command = self._command(distribution, java, properties)
        keeper = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), str(_own_pid()),
             str(self._settings.stop_timeout_s), str(self._log), *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            # Ctrl-C goes to the terminal's whole process group; the broker must outlast what still drains into it.
            start_new_session=True,
            pass_fds=() if self._lock is None else (self._lock.fileno(),),
        )  # fmt: skip
        self._keeper = keeper
        assert keeper.stdout is not None
        self._pid = int(keeper.stdout.readline() or 0) or None
        self._await_ready(keeper)

    def _command(self, distribution: Distribution, java: Java, properties: Path) -> list[str]:
        log4j = resources.files("pipeline.embedded").joinpath("log4j2-broker.xml")
        return [
            str(java.path), "-Xms128m", f"-Xmx{self._settings.heap_mb}m", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=256m",
            "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true",
            *(["-XX:TieredStopAtLevel=1"] if self._settings.fast else []),
            f"-Dlog4j2.configurationFile={log4j}", "-cp", distribution.class_path, "kafka.Kafka", str(properties),
        ]  # fmt: skip

    @property
    def _log(self) -> Path:
        return self._settings.data_dir / "broker.log"

    def _await_ready(self, keeper: subprocess.Popen[bytes]) -> None:
        """The broker says so in its log and its port answers."""
        deadline = time.monotonic() + self._settings.start_timeout_s
        while not (READY in _tail(self._log) and not _is_free(self._port)):
            status = keeper.poll()
            if status is not None:
                raise EmbeddedError(diagnosis(status, _tail(self._log), self._settings, self._port))
            if self._abandoned.is_set():
                raise EmbeddedError("the start was abandoned")
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Kafka was not ready after {self._settings.start_timeout_s:.0f} s; see {self._log}"
                )
            time.sleep(POLL_S)

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


def _own_pid() -> int:
    import os

    return os.getpid()


def _is_alive(pid: str) -> bool:
    import os

    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    """Nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
