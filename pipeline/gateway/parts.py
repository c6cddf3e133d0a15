"""What the gateway is made of and how much it takes at once; wiring fills it in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from pipeline.faces import Catalogue, Log, TopicAdmin
from pipeline.gateway.asking import BodyLimit
from pipeline.publish import Publisher
from pipeline.pull import NamedCursors, Reader
from pipeline.push.attempt_search import Attempts
from pipeline.redrive import DeadLetters, Discards, Edits, ParkedKeys, Redrives
from pipeline.replay import Replays
from pipeline.runs import Runs
from pipeline.subscriptions import Probing, Resets, Subscriptions, Trials


class GatewayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one request or all of them may take.

    Beyond ``body_bytes_max``, ``batch_bytes_max`` and ``batch_events_max`` the answer is 413. Beyond ``long_polls_max``
    waiting polls, or ``publish_bytes_max`` of bodies being written, it is 503 with Retry-After: try again, or
    elsewhere.
    """

    body_bytes_max: int = 1_048_576
    batch_bytes_max: int = 8_388_608
    batch_events_max: int = 1000
    declaration_bytes_max: int = 262_144
    long_polls_max: int = 1000
    publish_bytes_max: int = 67_108_864
    body_wait_s: float = 30.0

    @property
    def event(self) -> BodyLimit:
        return BodyLimit(self.body_bytes_max, "body_bytes_max", self.body_wait_s)

    @property
    def batch(self) -> BodyLimit:
        return BodyLimit(self.batch_bytes_max, "batch_bytes_max", self.body_wait_s)

    @property
    def declaration(self) -> BodyLimit:
        return BodyLimit(self.declaration_bytes_max, "declaration_bytes_max", self.body_wait_s)


@dataclass(frozen=True, kw_only=True)
class GatewayParts:
    """``namespace`` and ``default_type`` name records that are no CloudEvents.

    ``ready`` says why this process cannot serve (nothing: it can), ``healthy`` why it should be replaced, ``metrics``
    is the Prometheus text exposition.
    """

    namespace: str
    publisher: Publisher
    reader: Reader
    log: Log
    catalogue: Catalogue
    admin: TopicAdmin
    default_type: Callable[[str], str]
    cursors: NamedCursors
    subscriptions: Subscriptions
    runs: Runs
    replays: Replays
    redrives: Redrives
    dead_letters: DeadLetters
    discards: Discards
    edits: Edits
    parked_keys: ParkedKeys
    resets: Resets
    trials: Trials
    attempts: Attempts
    probing: Probing
    ready: Callable[[], Awaitable[list[str]]]
    healthy: Callable[[], list[str]]
    metrics: Callable[[], bytes]
    limits: GatewayLimits
