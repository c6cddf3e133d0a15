"""What may be set about sending."""

from __future__ import annotations

import msgspec

from pipeline.webhook.proxy import Proxy


class SenderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one sender, and how it reaches the world.

    ``connections_max``: None takes the subscription's ``in_flight_max``. ``idle_s``: unused connections are closed
    after this, below the 5 s after which common servers (Node, uvicorn) close theirs, which would cost an attempt.
    ``response_body_bytes_max``: a reply with a longer body ends its connection. ``ca_file``: certificate authorities
    trusted instead of the system's. ``proxy``: an operator's egress proxy. ``public_url``: where receivers find the
    gateway, without a slash at its end; empty: what ``format: thin`` refers to is written as a path.
    """

    connections_max: int | None = None
    idle_s: float = 4.0
    response_body_bytes_max: int = 16_384
    ca_file: str | None = None
    proxy: Proxy | None = None
    public_url: str = ""
