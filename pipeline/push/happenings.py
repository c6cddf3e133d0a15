"""Happenings: what operators should hear of, as CloudEvents on a topic that webhooks subscribe to like to any other.

Topic ``<namespace>.pipeline-events``, keyed by subscription, so that one subscription's happenings keep their order.
Binary mode: type ``pipeline.subscription.<what>``, source ``/<namespace>/pipeline``, subject the subscription, data a
JSON object of the facts. Nothing waits for them, and two rules keep them small:

* nothing is told of a subscription that reads this topic itself: its failures would feed on themselves;
* of one subscription and kind at most `TIMES_MAX` a second are told; the rest is counted, and the next one's ``count``
  says how many it stands for (the facts are those of the last).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Protocol, get_args

import msgspec
import orjson

from pipeline.faces import Table, What
from pipeline.names import events_topic_of
from pipeline.push.clock import SYSTEM_CLOCK, Clock
from pipeline.ration import Ration
from pipeline.record import Headers
from pipeline.subscription import stored_subscription

TYPE_PREFIX = "pipeline.subscription."
WHATS = frozenset(get_args(What))
TIMES_MAX = 5
WINDOW_S = 1.0
EVENTS_CONFIG = {"retention.ms": str(7 * 24 * 3600 * 1000), "cleanup.policy": "delete"}
Key = tuple[str, str]


class Appends(Protocol):
    def append_soon(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = ()) -> bool: ...


class Happenings:
    """Tells of one namespace. ``topics_of`` gives what a subscription reads; of one that is not known: nothing."""

    def __init__(
        self,
        producer: Appends,
        namespace: str,
        *,
        topics_of: Callable[[str], Collection[str]],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._producer, self._topics_of, self._clock = producer, topics_of, clock
        self.topic = events_topic_of(namespace)
        self._source = f"/{namespace}/pipeline".encode()
        self._ration: Ration[Key] = Ration(TIMES_MAX, WINDOW_S)
        self._kept: dict[Key, tuple[dict[str, object], asyncio.TimerHandle]] = {}
        # Ids are made of chance once and a count after that: unique, and cheap.
        self._id, self._number = secrets.token_hex(8), 0

    def tell(self, what: What, name: str, /, **facts: object) -> None:
        """``what`` happened to the subscription ``name``, just now. Raises ValueError for a kind nobody knows."""
        if what not in WHATS:
            raise ValueError(f"{what} is none of {sorted(WHATS)}")
        if self.topic in self._topics_of(name):
            return
        count = self._ration.ask((what, name), self._clock.monotonic())
        if not count:
            self._keep((what, name), facts)
        else:
            self._append(what, name, facts, count)

    def close(self) -> None:
        """Tell what was counted; call it while the producer still runs."""
        for key, (_, timer) in list(self._kept.items()):
            timer.cancel()
            self._tell_rest(key)

    def _keep(self, key: Key, facts: dict[str, object]) -> None:
        """The last of a flood is told when its second is over, lest its count wait for the next one."""
        if key in self._kept:
            self._kept[key] = (facts, self._kept[key][1])
        else:
            self._kept[key] = (facts, asyncio.get_running_loop().call_later(WINDOW_S, self._tell_rest, key))

    def _tell_rest(self, key: Key) -> None:
        facts, _ = self._kept.pop(key)
        if count := self._ration.left(key, self._clock.monotonic()):
            self._append(*key, facts, count)

    def _append(self, what: str, name: str, facts: Mapping[str, object], count: int) -> None:
        self._number += 1
        now = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="milliseconds")
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{self._id}-{self._number}".encode()),
            ("ce_type", f"{TYPE_PREFIX}{what}".encode()),
            ("ce_source", self._source),
            ("ce_subject", name.encode()),
            ("ce_time", now.replace("+00:00", "Z").encode()),
            ("content-type", b"application/json"),
        )
        data = orjson.dumps({"subscription": name, **facts, **({"count": count} if count > 1 else {})}, default=str)
        self._producer.append_soon(self.topic, key=name.encode(), value=data, headers=headers)


def topics_by(subscriptions: Table) -> Callable[[str], Collection[str]]:
    """What each subscription reads, by its row."""

    def topics_of(name: str) -> Collection[str]:
        row = subscriptions.get(name)
        try:
            return () if row is None else stored_subscription(row.value).spec.topics
        except msgspec.MsgspecError:
            return ()

    return topics_of
