"""Logs: what an operator should read about, one structured line each, with the effect where there is one."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import structlog

from pipeline.hooks import Hooks, SpanMaker
from pipeline.ration import Ration

DIFFERENT_ERRORS_MAX = 1000
# Of one kind of line about one run, so many in so many seconds; the next says how many it stands for.
LINES_MAX, LINES_S = 10, 10.0


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


class Traces(Protocol):
    """Who makes spans of attempts."""

    def span_maker(self, run: str, /) -> SpanMaker | None: ...


def warn_of_openings(openings: Mapping[str, object]) -> None:
    """Say aloud, at every start, which settings let be called what the guard forbids; not those that are off."""
    opened = {name: value for name, value in openings.items() if value}
    if opened:
        structlog.get_logger("pipeline").warning(
            "guard-opened", **opened, effect="endpoints may be called that are refused by default"
        )


class LoggingHooks(Hooks):
    """Passes every hook on to ``inner`` and logs those that are news to people; nothing per delivered record is, and a
    flood is a line with a count. ``traces`` makes the spans, if anybody. ``clock`` gives monotonic seconds.
    """

    def __init__(
        self, inner: Hooks, *, traces: Traces | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner, self._clock = inner, clock
        self._log = structlog.get_logger("pipeline")
        self._said: dict[str, int] = {}
        self._ration: Ration[tuple[str, str]] = Ration(LINES_MAX, LINES_S)
        self.meter = inner.meter  # type: ignore[method-assign]  # per record: no hop on the hot path
        self._traces: Traces = traces or inner
        self.on_attempt = inner.on_attempt  # type: ignore[method-assign]  # the same
        self.on_connection = inner.on_connection  # type: ignore[method-assign]  # the same
        self.on_appended = inner.on_appended  # type: ignore[method-assign]  # the same
        self.on_view_bytes = inner.on_view_bytes  # type: ignore[method-assign]  # the same
        self.on_committed = inner.on_committed  # type: ignore[method-assign]  # the same

    def span_maker(self, run: str) -> SpanMaker | None:
        return self._traces.span_maker(run)

    def _say(self, level: int, event: str, about: str, **facts: object) -> None:
        """Log it, unless too much of the kind was said of ``about`` lately: then the next says how often."""
        times = self._ration.ask((event, about), self._clock())
        if times:
            self._log.log(level, event, **facts, **({"times": times} if times > 1 else {}))

    def on_append_failed(self, topic: str, error: Exception) -> None:
        self._inner.on_append_failed(topic, error)
        self._say(logging.WARNING, "append-failed", topic, topic=topic, error=str(error))

    def on_buried(self, run: str, reason: str) -> None:
        self._inner.on_buried(run, reason)
        self._say(logging.WARNING, "dead-letter", run, run=run, reason=reason)

    def on_bury_failed(self, run: str, error: Exception) -> None:
        self._inner.on_bury_failed(run, error)
        effect = "the partition stalls; tried again"
        self._say(logging.ERROR, "dead-letter-append-failed", run, run=run, error=str(error), effect=effect)

    def on_moved(self, run: str, topic: str, partition: int, offset: int) -> None:
        self._inner.on_moved(run, topic, partition, offset)
        self._say(logging.INFO, "cursor-moved", run, run=run, place=f"{topic}/{partition}", offset=offset)

    def on_gap(self, topic: str, partition: int, first: int, until: int) -> None:
        self._inner.on_gap(topic, partition, first, until)
        place, effect = f"{topic}/{partition}", "these offsets are gone"
        self._say(logging.ERROR, "gap", place, place=place, first=first, until=until, effect=effect)

    def on_headroom_low(self, run: str, topic: str, partition: int, ratio: float) -> None:
        self._inner.on_headroom_low(run, topic, partition, ratio)
        effect = "retention will delete what is not delivered"
        self._say(
            logging.WARNING, "headroom-low", run, run=run, place=f"{topic}/{partition}", ratio=ratio, effect=effect
        )

    def on_breaker(self, run: str, state: str) -> None:
        self._inner.on_breaker(run, state)
        self._say(logging.WARNING, "breaker", run, run=run, state=state)

    def on_stopped(self, run: str, state: str, reason: str) -> None:
        self._inner.on_stopped(run, state, reason)
        if state == "done":
            self._log.info("run-done", run=run)
        else:
            self._log.error("stopped", run=run, state=state, reason=reason, effect="resume it when that is mended")

    def on_fenced(self, run: str) -> None:
        self._inner.on_fenced(run)
        self._say(logging.WARNING, "fenced", run, run=run, effect="a newer owner delivers; this worker let go")

    def on_consumer_error(self, error: Exception) -> None:
        self._inner.on_consumer_error(error)
        text = str(error)
        if text not in self._said and len(self._said) >= DIFFERENT_ERRORS_MAX:
            self._said.clear()
        # A broker that is away says so many times a second: powers of two keep the log readable and the fact visible.
        count = self._said[text] = self._said.get(text, 0) + 1
        if count & (count - 1) == 0:
            self._log.warning("kafka", error=text, times=count)
