"""Logs: what an operator should read about, one structured line each, with the effect where there is one."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from pipeline.hooks import Hooks

DIFFERENT_ERRORS_MAX = 1000


def configure_logs(form: Literal["text", "json"], *, level: int = logging.INFO) -> None:
    """Lines for people or JSON objects, on standard error; standard output belongs to commands' results."""
    renderer = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class LoggingHooks(Hooks):
    """Passes every hook on to ``inner`` and logs those that are news to people; nothing per delivered record is."""

    def __init__(self, inner: Hooks) -> None:
        self._inner = inner
        self._log = structlog.get_logger("pipeline")
        self._said: dict[str, int] = {}
        self.on_attempt = inner.on_attempt  # type: ignore[method-assign]  # per record: no hop on the hot path
        self.on_appended = inner.on_appended  # type: ignore[method-assign]  # the same
        self.on_view_bytes = inner.on_view_bytes  # type: ignore[method-assign]  # the same
        self.on_committed = inner.on_committed  # type: ignore[method-assign]  # the same

    def on_append_failed(self, topic: str, error: Exception) -> None:
        self._inner.on_append_failed(topic, error)
        self._log.warning("append-failed", topic=topic, error=str(error))

    def on_buried(self, run: str, reason: str) -> None:
        self._inner.on_buried(run, reason)
        self._log.warning("dead-letter", run=run, reason=reason)

    def on_bury_failed(self, run: str, error: Exception) -> None:
        self._inner.on_bury_failed(run, error)
        self._log.error(
            "dead-letter-append-failed", run=run, error=str(error), effect="the partition stalls; tried again"
        )

    def on_moved(self, run: str, topic: str, partition: int, offset: int) -> None:
        self._inner.on_moved(run, topic, partition, offset)
        self._log.info("cursor-moved", run=run, place=f"{topic}/{partition}", offset=offset)

    def on_gap(self, topic: str, partition: int, first: int, until: int) -> None:
        self._inner.on_gap(topic, partition, first, until)
        self._log.error("gap", place=f"{topic}/{partition}", first=first, until=until, effect="these offsets are gone")

    def on_breaker(self, run: str, state: str) -> None:
        self._inner.on_breaker(run, state)
        self._log.warning("breaker", run=run, state=state)

    def on_stopped(self, run: str, state: str, reason: str) -> None:
        self._inner.on_stopped(run, state, reason)
        if state == "done":
            self._log.info("run-done", run=run)
        else:
            self._log.error("stopped", run=run, state=state, reason=reason, effect="resume it when that is mended")

    def on_fenced(self, run: str) -> None:
        self._inner.on_fenced(run)
        self._log.warning("fenced", run=run, effect="a newer owner delivers; this worker let go")

    def on_consumer_error(self, error: Exception) -> None:
        self._inner.on_consumer_error(error)
        text = str(error)
        if text not in self._said and len(self._said) >= DIFFERENT_ERRORS_MAX:
            self._said.clear()
        # A broker that is away says so many times a second: powers of two keep the log readable and the fact visible.
        count = self._said[text] = self._said.get(text, 0) + 1
        if count & (count - 1) == 0:
            self._log.warning("kafka", error=text, times=count)
