"""What the core asks its rim to do."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.lanes import Lane


class Actions(NamedTuple):
    """Do all of it, in this order; each lane is the handle its result comes back with.

    ``sends``: begin an attempt with each head, then `Core.succeeded` or `Core.failed`. ``buries``: append each head
    to the dead-letter topic, then `Core.buried` or `Core.bury_failed`. ``gone``: the endpoint answered 410; said
    once, nothing more is sent. ``holds``: these wait for an operator from now on; remember the keys for the next owner.
    ``fetches``: read each head's payload again, then `Core.payload`, `Core.unread` or `Core.vanished`.
    """

    sends: list[Lane]
    buries: list[Lane]
    gone: bool
    holds: list[Lane]
    fetches: list[Lane]


class Commit(NamedTuple):
    """One partition's pointer: ``offset`` to commit, and what is finished above it, with failing heads' attempts.

    ``attempts`` maps the offset of a failing head to (failed attempts, when the first failed in monotonic seconds).
    """

    offset: int
    finished: AckMap
    attempts: dict[int, tuple[int, float]]
