"""As whom deliveries are sent: the declared authentication as header lines and a TLS context.

Client certificates are no header: they are in the TLS context (`endpoint_tls`), like a private authority.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import TypeAlias

from pipeline.subscription import BasicAuth, BearerAuth, Endpoint, OAuth2Auth
from pipeline.webhook.oauth2 import ClientCredentials
from pipeline.webhook.outbound import Outbound

Authorized: TypeAlias = "FixedLines | ClientCredentials"


class FixedLines:
    """An `Authorization` that never changes."""

    ready = True

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    def lines(self) -> bytes:
        return self._lines

    def rejected(self, status: int) -> bool:  # noqa: ARG002 - the face's; nothing newer can be had
        return False

    async def renew(self) -> None:
        """There is nothing newer."""

    def close(self) -> None:
        """There is nothing under way."""


def authorization_of(
    endpoint: Endpoint,
    secret: str,
    secret_headers: Mapping[str, str],
    *,
    outbound: Outbound | None,
    clock: Callable[[], float],
    origin: str = "",
) -> Authorized | None:
    """What deliveries to `endpoint` carry beside their signatures; None: nothing.

    ``secret``: that of its auth; ``secret_headers``: with their values; ``outbound``: asks for tokens; ``origin``: sent
    where the endpoint granted a handshake.
    """
    auth = endpoint.auth
    headers = dict(secret_headers)
    if endpoint.handshake and origin:
        headers["webhook-request-origin"] = origin
    if isinstance(auth, BearerAuth):
        headers["authorization"] = f"Bearer {secret}"
    elif isinstance(auth, BasicAuth):
        headers["authorization"] = f"Basic {base64.b64encode(f'{auth.username}:{secret}'.encode()).decode()}"
    lines = "".join(f"\r\n{name.lower()}: {value}" for name, value in headers.items()).encode("ascii")
    assert lines.count(b"\n") == lines.count(b"\r") == len(headers), "checked when they were declared"
    if isinstance(auth, OAuth2Auth):
        assert outbound is not None, "whoever delivers can ask for tokens"
        return ClientCredentials(auth, secret, outbound, clock=clock, fixed=lines)
    return FixedLines(lines) if lines else None
