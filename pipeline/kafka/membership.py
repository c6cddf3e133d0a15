"""Membership: which partitions this worker owns, and whether its group has heard of it lately.

A member of one consumer group that fetches nothing: its partitions are paused, ownership is all it is for (the log
view reads). Classic protocol, cooperative-sticky: the client, not the broker, chooses the session timeout that
self-fencing needs, and rebalances take half a second (the consumer protocol's heartbeat of 5 s makes it 4 to 5 s).

The lease. A worker may act while its group has heard of it within the session timeout, for only then can no one else
have been given its partitions. librdkafka tells nothing of its heartbeats, so the proof is a commit in the group: the
broker takes it from a current member only. The lease runs from the moment that commit was *issued*; a process that
was frozen wakes up with an old lease and does nothing until the next commit is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Protocol

import msgspec
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.hooks import Hooks
from pipeline.kafka.client import KafkaSettings, client_conf, translated

Owned = tuple[str, int]
RENEW_S = 2.0


class Listener(Protocol):
    """Told of ownership, on the event loop. `revoked` may take up to ``drain_s``; the new owner begins after that."""

    def assigned(self, partitions: list[Owned]) -> None: ...

    async def revoked(self, partitions: list[Owned]) -> None: ...

    def lost(self, partitions: list[Owned]) -> None: ...


class MembershipSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. ``drain_s`` must stay below ``session_timeout_s``: the lease has to outlast a drain.

    ``static_as``: join as a static member of that name (KIP-345): begun anew under it, a member has its partitions back
    at once, after kill -9 too, and nothing moves; ended for good, it is missed only after the session timeout.
    """

    session_timeout_s: float = 30.0
    drain_s: float = 10.0
    renew_s: float = RENEW_S
    static_as: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.renew_s + self.drain_s < self.session_timeout_s:
            raise ValueError("drain_s and renew_s together must be less than session_timeout_s")


class Membership:
    """One member of ``group``. Start it on a running loop; give it topics; ask `may_act` before every act."""

    def __init__(
        self, kafka: KafkaSettings, group: str, settings: MembershipSettings, listener: Listener, hooks: Hooks
    ) -> None:
        self._group, self._settings, self._listener, self._hooks = group, settings, listener, hooks
        self._conf = {
            **client_conf(kafka, "bridge"),
            "group.id": group,
            "partition.assignment.strategy": "cooperative-sticky",
            # How soon partitions added to a topic are found; each is one small request.
            "topic.metadata.refresh.interval.ms": 5000,
            "session.timeout.ms": int(settings.session_timeout_s * 1000),
            "heartbeat.interval.ms": max(100, int(settings.session_timeout_s * 1000 / 20)),
            "max.poll.interval.ms": int(max(settings.session_timeout_s, settings.drain_s * 2 + 10) * 1000),
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "on_commit": self._on_commit,
        }
        if settings.static_as:
            self._conf["group.instance.id"] = settings.static_as
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Event()
        self._stopping = False
        self._topics: tuple[str, ...] = ()
        self._subscribed: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._run, name=f"membership-{group}", daemon=True)
        self._polled_at = time.monotonic()
        self._heard_at = float("-inf")
        self._issued_at: float | None = None
        self._changes = 0
        self._changes_known = 0
        self._owned: set[Owned] = set()
        self.positions: dict[Owned, int] = {}

    def start(self) -> None:
        self._thread.start()

    def set_topics(self, topics: Iterable[str]) -> None:
        """Own partitions of these topics from now on; none means leaving the group."""
        self._topics = tuple(sorted(topics))
        self._wake.set()

    async def stop(self) -> None:
        """Leave the group; what is owned is revoked first. Harmless when it was never started."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def may_act(self, now: float) -> bool:
        """Whether sending and committing is this worker's to do. Monotonic seconds."""
        return now - self._heard_at < self._settings.session_timeout_s and self._changes == self._changes_known

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        consumer = Consumer(self._conf)
        renewed_at = 0.0
        try:
            while not self._stopping:
                self._subscribe(consumer)
                self._polled_at = time.monotonic()
                message = consumer.poll(0.1)
                if message is not None and message.error() is not None:
                    self._complain(message.error())
                if time.monotonic() - renewed_at >= self._settings.renew_s:
                    renewed_at = time.monotonic()
                    self._renew(consumer)
                if not self._subscribed:
                    self._wake.wait(0.5)
                    self._wake.clear()
        finally:
            consumer.close()

    def _subscribe(self, consumer: Consumer) -> None:
        if self._topics == self._subscribed:
            return
        self._subscribed = self._topics
        if self._subscribed:
            consumer.subscribe(
                list(self._subscribed), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        else:
            consumer.unsubscribe()

    def _renew(self, consumer: Consumer) -> None:
        """Ask for the next proof. The offsets show how far the worker is; they are not what it starts from."""
        offsets = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offset in self.positions.copy().items()
            if (topic, partition) in self._owned
        ]
        if not offsets:
            # Nothing is known of what is owned: claiming its pointers needs the lease, so it cannot wait for them.
            offsets = [TopicPartition(topic, partition, 0) for topic, partition in sorted(self._owned)[:1]]
        if not offsets:
            return
        if self._issued_at is None:
            self._issued_at = time.monotonic()
        with contextlib.suppress(KafkaException):
            # Raises when there is no coordinator just now: no proof, so the lease runs out by itself.
            consumer.commit(offsets=offsets, asynchronous=True)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        issued_at, self._issued_at = self._issued_at, None
        # One partition taken is proof enough: another one may belong to a topic that was deleted.
        if error is None and issued_at is not None and not all(part.error for part in partitions):
            self._heard_at = max(self._heard_at, issued_at)
        elif error is not None and error.code() != KafkaError._NO_OFFSET:
            self._hooks.on_consumer_error(translated(error, f"renewing the lease in group {self._group}"))

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for part in partitions:
            part.offset = OFFSET_END
        consumer.incremental_assign(partitions)
        if partitions:
            consumer.pause(partitions)
        # The broker answered no earlier than the last poll began; a freeze since then counts against the lease.
        self._heard_at = max(self._heard_at, self._polled_at)
        owned = [(part.topic, part.partition) for part in partitions]
        self._owned.update(owned)
        self._changes += 1
        self._loop.call_soon_threadsafe(self._tell_assigned, owned, self._changes)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        owned = [(part.topic, part.partition) for part in partitions]
        self._owned.difference_update(owned)
        self._changes += 1
        told = asyncio.run_coroutine_threadsafe(self._tell_revoked(owned, self._changes), self._loop)
        with contextlib.suppress(TimeoutError):
            # Bounded: a loop that does not answer may not hold up the group; `may_act` is False until it has caught up.
            told.result(self._settings.drain_s + 5.0)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        owned = [(part.topic, part.partition) for part in partitions]
        self._owned.difference_update(owned)
        self._heard_at = float("-inf")
        self._changes += 1
        self._loop.call_soon_threadsafe(self._tell_lost, owned, self._changes)
        consumer.incremental_unassign(partitions)

    def _complain(self, error: KafkaError | None) -> None:
        if error is not None:
            self._hooks.on_consumer_error(translated(error, f"as a member of group {self._group}"))

    # -- on the loop -------------------------------------------------------------------------------------------------

    def _tell_assigned(self, owned: list[Owned], change: int) -> None:
        self._changes_known = change
        self._listener.assigned(owned)

    async def _tell_revoked(self, owned: list[Owned], change: int) -> None:
        self._changes_known = change
        for part in owned:
            self.positions.pop(part, None)
        await self._listener.revoked(owned)

    def _tell_lost(self, owned: list[Owned], change: int) -> None:
        for part in owned:
            self.positions.pop(part, None)
        self._listener.lost(owned)
        self._changes_known = change
