"""Who writes the requests of a subscription, by its format."""

from __future__ import annotations

from pipeline.guard import Target
from pipeline.signing import Signer
from pipeline.subscription import Subscription
from pipeline.webhook.bundle import BatchWriter
from pipeline.webhook.credential import Writes
from pipeline.webhook.naming import Names
from pipeline.webhook.request import DeliveryWriter


def writer_of(
    subscription: Subscription, target: Target, signer: Signer, names: Names, *, more_lines: str, public_url: str
) -> Writes:
    """``more_lines``, ``public_url``: see `DeliveryWriter`."""
    if subscription.format == "batch":
        return BatchWriter(subscription, target, signer, names, more_lines=more_lines)
    return DeliveryWriter(subscription, target, signer, names, more_lines=more_lines, public_url=public_url)
