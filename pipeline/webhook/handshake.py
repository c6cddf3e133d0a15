"""Ask an endpoint whether it wants to be sent to: CloudEvents "HTTP 1.1 Web Hooks for Event Delivery", §4.

An ``OPTIONS`` request to the very URL of the deliveries, with who we are and how fast we would like to send; the
answer's headers grant it or do not, its status says nothing. Granting later through a callback is not offered.
"""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from time import monotonic

import msgspec

from pipeline.errors import CallFailed, HandshakeRefused
from pipeline.subscription import AUTH_SECRETS, Endpoint
from pipeline.webhook.addresses import ConnectFailed
from pipeline.webhook.auth import authorization_of
from pipeline.webhook.outbound import Answer, Outbound

_RATE = re.compile(r"[1-9][0-9]{0,8}\Z", re.ASCII)


class Granted(msgspec.Struct, frozen=True):
    """``rate_per_min``: requests a minute that the endpoint allows; None: no bound."""

    rate_per_min: int | None


async def handshake(
    outbound: Outbound, endpoint: Endpoint, origin: str, rate_per_s: float | None, *, tls: ssl.SSLContext | None = None
) -> Granted:
    """Permission to send as ``origin`` (a DNS name), asked with the headers and the credential of a delivery.
    ``endpoint`` has its secrets in place. ``rate_per_s``: what the subscription would send at most, None without a
    bound of its own.

    Raises `HandshakeRefused` saying what was wrong with the answer, or that there was none; `AddressBlocked`.
    """
    headers = {**endpoint.headers, **await _credentials(outbound, endpoint), "webhook-request-origin": origin}
    if rate_per_s is not None:
        headers["webhook-request-rate"] = str(max(1, math.ceil(rate_per_s * 60)))
    try:
        answer = await outbound.call("OPTIONS", endpoint.url, headers=headers, timeout_s=endpoint.timeout_s, tls=tls)
    except CallFailed as failed:
        raise HandshakeRefused(f"the endpoint did not answer the handshake: {failed.detail}") from None
    return granted_by(answer, origin)


async def _credentials(outbound: Outbound, endpoint: Endpoint) -> dict[str, str]:
    """The header lines of its auth and its secret headers, as deliveries carry them."""
    field = AUTH_SECRETS.get(type(endpoint.auth))
    secret = "" if field is None else str(getattr(endpoint.auth, field))
    held = authorization_of(endpoint, secret, endpoint.secret_headers, outbound=outbound, clock=monotonic)
    if held is None:
        return {}
    try:
        if not held.ready:
            async with asyncio.timeout(endpoint.timeout_s):
                await held.renew()
        lines = held.lines().decode("ascii").split("\r\n")[1:]
    except ConnectFailed as failed:
        raise HandshakeRefused(f"no credential to ask the endpoint with: {failed.detail}") from None
    except TimeoutError:
        raise HandshakeRefused(f"no credential to ask the endpoint with in {endpoint.timeout_s:g} s") from None
    finally:
        held.close()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def granted_by(answer: Answer, origin: str) -> Granted:
    """What an answer to the handshake grants to ``origin``. Raises `HandshakeRefused`."""
    allowed = answer.headers.get("webhook-allowed-origin", "").strip()
    if not allowed:
        raise HandshakeRefused(f"status {answer.status} without WebHook-Allowed-Origin: the endpoint did not agree")
    if allowed != "*" and allowed.lower() != origin.lower():
        raise HandshakeRefused(f"the endpoint allows another origin than {origin}")
    rate = answer.headers.get("webhook-allowed-rate", "*").strip()
    if rate == "*":
        return Granted(None)
    if not _RATE.match(rate):
        raise HandshakeRefused("WebHook-Allowed-Rate is neither * nor a number of requests a minute above 0")
    return Granted(int(rate))
