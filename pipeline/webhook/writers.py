"""Who writes the requests of a subscription, by its format."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipeline.guard import Target
from pipeline.signing import Signer
from pipeline.subscription import Subscription
from pipeline.webhook.bundle import BatchWriter
from pipeline.webhook.credential import Writes
from pipeline.webhook.request import DeliveryWriter


class Names(NamedTuple):
    """What requests say of events and of their run: see `DeliveryWriter`."""

    topic_prefixes: Callable[[str], str]
    defaults: Callable[[str], tuple[str, str]]
    run_id: str | None


def writer_of(
    subscription: Subscription, target: Target, signer: Signer, names: Names, *, more_lines: str, public_url: str
) -> Writes:
    """``more_lines``, ``public_url``: see `DeliveryWriter`."""
    if subscription.format == "batch":
        return BatchWriter(subscription, target, signer=signer, **names._asdict(), more_lines=more_lines)
    return DeliveryWriter(
        subscription, target, signer=signer, **names._asdict(), more_lines=more_lines, public_url=public_url
    )
