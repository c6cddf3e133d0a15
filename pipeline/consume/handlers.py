"""Handlers as declared by `Consumer.on`, and the subscription each of them is to the delivery machine."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.consume.caller import Call
from pipeline.errors import DeclarationInvalid
from pipeline.names import check_subscription_name
from pipeline.subscription import RetryPolicy

TIMEOUT_S = 30.0
CONCURRENCY = 64
# A subscription has an endpoint; this name resolves nowhere (RFC 2606 §2), and nobody calls it.
NOWHERE = "http://coroutine.invalid/"


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """One coroutine function, what it takes and how. ``name`` ends its group's name: by default its first topic.

    ``concurrency``: attempts under way at most, over all keys, per process. ``start``: where a group begins that has
    no offsets yet. Raises `DeclarationInvalid`.
    """

    call: Call
    topics: tuple[str, ...]
    name: str = ""
    filters: tuple[dict[str, Any], ...] = ()
    concurrency: int = CONCURRENCY
    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    on_dead_letter: str = "continue"
    ordering: str = "key"
    start: str = "earliest"
    rate_per_s: float | None = None
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        if not self.topics:
            raise DeclarationInvalid("topics", "none", "at least one topic")
        if not self.name:
            msgspec.structs.force_setattr(self, "name", _name_of(self.topics[0]))
        check_subscription_name(self.name, field="name")
        if not is_async(self.call):
            # A thread cannot be broken off at its time-out, and would then overlap with the next attempt of its key.
            raise DeclarationInvalid(
                "handler", getattr(self.call, "__qualname__", self.call),
                "an `async def`; blocking work goes into `await asyncio.to_thread(…)` inside it",
            )  # fmt: skip
        if not 0 < self.timeout_s <= 86_400:
            raise DeclarationInvalid("timeout_s", self.timeout_s, "more than 0, at most 86400 seconds")

    def declared(self) -> Mapping[str, Any]:
        """As a subscription's declaration; the rest is checked there."""
        return {
            "topics": list(self.topics),
            "endpoint": {"url": NOWHERE},
            "start": self.start,
            "filters": [dict(one) for one in self.filters],
            "ordering": self.ordering,
            "retry": msgspec.to_builtins(self.retry),
            "rate_per_s": self.rate_per_s,
            "in_flight_max": self.concurrency,
            "on_dead_letter": self.on_dead_letter,
        }


def is_async(call: Call) -> bool:
    """Whether calling it gives something to await: an ``async def``, or an object whose ``__call__`` is one."""
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)


def _name_of(topic: str) -> str:
    """``topic`` in the letters that names of subscriptions may have."""
    return topic.replace(".", "-").replace("_", "-").strip("-")[:100]
