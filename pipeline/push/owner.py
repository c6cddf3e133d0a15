"""The worker that a run belongs to, as the run sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipeline.push.dispatch import Dispatcher


class Owner(NamedTuple):
    """``may_act`` is asked before every step, with the monotonic time; ``id_prefix`` gives what the webhook ids of a
    topic begin with. ``on_stop`` is told state and reason when the run cannot go on, ``on_changed`` that there may be
    something to commit. ``dispatcher`` reads for runs that have caught up; None: every run reads for itself.
    """

    may_act: Callable[[float], bool]
    id_prefix: Callable[[str], str]
    on_stop: Callable[[str, str], None]
    on_changed: Callable[[], None] = lambda: None
    dispatcher: Dispatcher | None = None
