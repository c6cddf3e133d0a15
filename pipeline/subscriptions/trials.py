"""Trials: one signed example sent to an endpoint now, the very way events are, and what came back.

Nothing of it touches the log or the pointer: it is no event, and its webhook id cannot be that of one. What is told of
the answer is short, and credentials that an endpoint echoes are taken out of it.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
import orjson

from pipeline.delivery.verdict import Fault, Reply
from pipeline.moment import rfc3339_from_ms
from pipeline.record import Position, Record
from pipeline.subscription import BasicAuth, StoredSubscription
from pipeline.subscriptions.secrets import unsealed
from pipeline.subscriptions.subscriptions import Subscriptions

EXCERPT_CHARACTERS_MAX = 512
EXAMPLE_TYPE = "pipeline.subscription.test"
# Beyond the endpoint's own time-out: a sweep of the sender, a token asked for first.
GRACE_S = 10.0
HIDDEN = "(hidden)"
# So many first characters of a secret tell something of it.
CUT_MIN = 4
# Values as they stand in an Authorization header, whoever they belong to: tokens are fetched, so not all are known.
_SCHEMES = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE)


class Sends(Protocol):
    """The sender of deliveries; ``done`` is called once, on the loop."""

    def send(
        self,
        record: Record,
        attempt: int,
        done: Callable[[Any, Reply | Fault], None],
        arg: Any,
        origin: Position | None = None,
        /,
    ) -> None: ...
    async def close(self) -> None: ...


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. ``status`` None: no answer came, and ``fault`` says why. ``excerpt``: the beginning of an answer
    that was no success, without secrets.
    """

    webhook_id: str
    delivered: bool
    status: int | None
    ms: int
    fault: str | None = None
    detail: str = ""
    excerpt: str = ""


class Trials:
    """``sender_of`` gives the sender that a worker would make of a row, whose ids begin as it is told."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        *,
        sender_of: Callable[[StoredSubscription, str], Sends],
        namespace: str,
        now_ms: Callable[[], int],
        random_hex: Callable[[], str],
    ) -> None:
        self._subscriptions, self._sender_of = subscriptions, sender_of
        self._namespace, self._now_ms, self._random_hex = namespace, now_ms, random_hex

    async def send(self, name: str, *, who: str | None = None) -> Trial:
        """Send one example, in whatever state the subscription is. Raises `SubscriptionNotFound`."""
        row, _ = self._subscriptions.get(name)
        prefix = f"test_{self._random_hex()}_"
        webhook_id = f"{prefix}0_0"
        answered: asyncio.Future[Reply | Fault] = asyncio.get_running_loop().create_future()
        sender = self._sender_of(row, prefix)
        try:
            sender.send(self._example(row, webhook_id), 1, _settle, answered)
            async with asyncio.timeout(row.spec.endpoint.timeout_s + GRACE_S):
                outcome = await answered
        finally:
            await sender.close()
        trial = _told(webhook_id, outcome, list(self._secrets(row)))
        self._subscriptions.rows.ledgers.audit.tell(
            "subscription-tested", name, who=who, webhook_id=webhook_id, status=trial.status, fault=trial.fault
        )
        return trial

    def _example(self, row: StoredSubscription, webhook_id: str) -> Record:
        now = rfc3339_from_ms(self._now_ms())
        headers = {
            "content-type": "application/json",
            "ce_specversion": "1.0",
            "ce_id": webhook_id,
            "ce_type": EXAMPLE_TYPE,
            "ce_source": f"/{self._namespace}/pipeline",
            "ce_subject": row.spec.name,
            "ce_time": now,
        }
        value = orjson.dumps({"test": True, "subscription": row.spec.name, "sent_at": now})
        lines = tuple((key, text.encode()) for key, text in headers.items())
        return Record(row.spec.topics[0], 0, 0, self._now_ms(), row.spec.name.encode(), value, lines)

    def _secrets(self, row: StoredSubscription) -> Iterable[str]:
        for secret in unsealed(row, self._subscriptions.secrets.sealer):
            yield secret
            yield secret.partition("_")[2] if secret.startswith(("whsec_", "whsk_")) else secret
            if isinstance(auth := row.spec.endpoint.auth, BasicAuth):
                yield base64.b64encode(f"{auth.username}:{secret}".encode()).decode()


def _settle(answered: asyncio.Future[Reply | Fault], outcome: Reply | Fault) -> None:
    if not answered.done():
        answered.set_result(outcome)


def _told(webhook_id: str, outcome: Reply | Fault, secrets: list[str]) -> Trial:
    ms = int(outcome.elapsed_s * 1000)
    if isinstance(outcome, Fault):
        fault = outcome.kind.value
        return Trial(
            webhook_id=webhook_id,
            delivered=False,
            status=None,
            ms=ms,
            fault=fault,
            detail=without(outcome.detail, secrets),
        )
    excerpt = without(outcome.excerpt.decode("utf-8", "replace"), secrets)
    delivered = 200 <= outcome.status < 300
    return Trial(
        webhook_id=webhook_id,
        delivered=delivered,
        status=outcome.status,
        ms=ms,
        excerpt="" if delivered else excerpt[:EXCERPT_CHARACTERS_MAX],
    )


def without(text: str, secrets: list[str]) -> str:
    """``text`` with every one of ``secrets``, however it is escaped, and what looks like a credential, hidden.

    The text may have been cut in the middle of one: its beginning at the very end goes too.
    """
    forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""), _in_json(secret))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
        cut = next((n for n in range(len(form) - 1, CUT_MIN - 1, -1) if text.endswith(form[:n])), 0)
        text = text[: len(text) - cut] + HIDDEN if cut else text
    return _SCHEMES.sub(lambda found: f"{found[1]} {HIDDEN}", text)


def _in_json(secret: str) -> str:
    return orjson.dumps(secret).decode()[1:-1]
