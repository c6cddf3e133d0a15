"""Bounded readings: how a replay or redrive differs from live delivery of its subscription. Pure.

A shadow gets the events signed with the subscription's secrets and nothing else of it: no credential, no header that
was declared for another host. What fails there says nothing of the subscription, so it is counted and not buried.
"""

from __future__ import annotations

import msgspec

from pipeline.subscription import Endpoint, SealedSecrets, StoredRun, StoredSubscription, Subscription


def row_for(row: StoredSubscription, run: StoredRun | None) -> StoredSubscription:
    """The row a run delivers by: the stored one, or what of it a shadow may know."""
    if run is None or run.endpoint is None:
        return row
    return msgspec.structs.replace(
        row, spec=_shadowed(row.spec, run.endpoint), secrets=_signing_only(row.secrets), allowed_rate_per_min=None
    )


def spec_for(spec: Subscription, run: StoredRun | None) -> Subscription:
    """The policy a run delivers by. What fails in a bounded run is buried and its key goes on, also where live delivery
    would ``block``: a run that waits for an operator would never end.
    """
    if run is None or spec.on_dead_letter != "block":
        return spec
    return msgspec.structs.replace(spec, on_dead_letter="continue")


def _shadowed(spec: Subscription, endpoint: Endpoint) -> Subscription:
    return msgspec.structs.replace(spec, endpoint=endpoint, on_dead_letter="continue")


def _signing_only(secrets: SealedSecrets) -> SealedSecrets:
    return msgspec.structs.replace(secrets, auth="", headers={})
