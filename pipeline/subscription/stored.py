"""Rows of the subscriptions and runs tables: a declaration with its secrets and its state, a bounded reading."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.subscription.declared import Subscription
from pipeline.subscription.endpoint import Endpoint
from pipeline.subscription.owned_headers import is_owned
from pipeline.subscription.spans import Spans, holds


class SealedSecrets(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Secrets, each sealed (``sealing.py``) under the key its text names.

    ``v1``, ``v1a``: signing secrets, newest first; all but the first sign until ``retire_at_ms`` (unix milliseconds),
    so that receivers can change over. ``auth``: the endpoint's credential. ``headers``: its secret headers.
    """

    v1: tuple[str, ...] = ()
    v1a: tuple[str, ...] = ()
    retire_at_ms: int = 0
    auth: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class StoredSubscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the subscriptions table.

    ``state``: ``active``, ``paused`` (by an operator), ``gone`` (the endpoint answered 410) or ``blocked``
    (``reason`` says why; an operator must decide). ``generation`` goes up by one with every change an
    operator makes, so that workers know to begin afresh. ``allowed_rate_per_min`` is what the endpoint granted in the
    CloudEvents handshake; None: no bound.
    """

    spec: Subscription
    secrets: SealedSecrets = msgspec.field(default_factory=SealedSecrets)
    state: Literal["active", "paused", "gone", "blocked"] = "active"
    reason: str = ""
    generation: int = 0
    allowed_rate_per_min: int | None = None


def stored_subscription(value: bytes) -> StoredSubscription:
    """The row in ``value``. One from before a header came to be no endpoint's to set is ``blocked``, without the
    header, and says so.

    Raises `msgspec.MsgspecError` or `DeclarationInvalid` for what is no row.
    """
    try:
        return msgspec.json.decode(value, type=StoredSubscription)
    except (msgspec.ValidationError, DeclarationInvalid):
        raw = msgspec.json.decode(value)
        if not (denied := _take_owned_headers(raw, _IN_SUBSCRIPTION)):
            raise
        reason = f"no endpoint may set the header {', '.join(denied)} any more; resume goes on without it"
        return msgspec.structs.replace(msgspec.convert(raw, StoredSubscription), state="blocked", reason=reason)


_IN_SUBSCRIPTION = (("spec", "endpoint", "headers"), ("spec", "endpoint", "secret_headers"), ("secrets", "headers"))
_IN_RUN = (("endpoint", "headers"), ("endpoint", "secret_headers"))


def _take_owned_headers(raw: Any, paths: tuple[tuple[str, ...], ...]) -> list[str]:
    """Take headers that are not an endpoint's to set out of a row, where ``paths`` lead; their names."""
    taken: set[str] = set()
    for path in paths:
        headers = raw
        for step in path:
            headers = headers.get(step) if isinstance(headers, dict) else None
        for name in [one for one in headers or () if is_owned(one)] if isinstance(headers, dict) else ():
            taken.add(name)
            del headers[name]
    return sorted(taken)


class StoredRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the runs table: a bounded reading of a subscription, or what became of dead letters without one.

    ``window`` maps topic to ``{partition: (from, until)}``: next offsets, ``until`` exclusive, frozen when the run was
    made. Of the window it takes what ``picked`` holds (empty: all of it), further narrowed by ``filters`` (with the
    subscription's own), ``ids`` (a replay's event ids, a redrive's dead letters) and ``reasons``, each open when empty.
    ``endpoint``: a shadow; None: the subscription's. ``note`` says in words what it is for: of a ``discard`` why, of a
    ``writeback`` to which topic; neither of those two is ever read by a worker.
    """

    id: str
    subscription: str
    kind: Literal["replay", "redrive", "discard", "writeback"]
    window: dict[str, dict[int, tuple[int, int]]]
    picked: dict[str, dict[int, Spans]] = {}
    filters: tuple[dict[str, Any], ...] = ()
    reasons: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    rate_per_s: float | None = None
    state: Literal["active", "paused", "done", "cancelled"] = "active"
    created_at: str = ""
    note: str = ""

    def takes(self, topic: str, partition: int, offset: int) -> bool:
        """Whether the record there is in its window and picked."""
        first, until = self.window.get(topic, {}).get(partition, (0, 0))
        if not first <= offset < until:
            return False
        return not self.picked or holds(self.picked.get(topic, {}).get(partition, ()), offset)


def stored_run(value: bytes) -> StoredRun:
    """The row in ``value``. One whose shadow has a header that came to be no endpoint's to set is without it, and
    ``paused`` where it was ``active``: resumed, it goes on.

    Raises `msgspec.MsgspecError` or `DeclarationInvalid` for what is no row.
    """
    try:
        return msgspec.json.decode(value, type=StoredRun)
    except (msgspec.ValidationError, DeclarationInvalid):
        raw = msgspec.json.decode(value)
        if not (denied := _take_owned_headers(raw, _IN_RUN)):
            raise
        run = msgspec.convert(raw, StoredRun, str_keys=True)
        if run.state != "active":
            return run
        note = f"no endpoint may set the header {', '.join(denied)} any more; resume goes on without it"
        return msgspec.structs.replace(run, state="paused", note=f"{run.note}; {note}" if run.note else note)


def secret_context(subscription: str) -> bytes:
    """What a subscription's secrets are sealed to: a sealed text moved to another row does not open."""
    return f"subscription/{subscription}".encode()
