"""What is asked of the world before a subscription is made or changed: where its endpoint lies, and whether it agrees.

The same questions are asked again at every connection; here the answers reach somebody who can do something about them.
"""

from __future__ import annotations

import asyncio
import contextlib

from pipeline.errors import DeclarationInvalid
from pipeline.guard import Guard
from pipeline.subscription import (
    Endpoint,
    MtlsAuth,
    OAuth2Auth,
    StoredSubscription,
    Subscription,
    without_secrets,
)
from pipeline.webhook.addresses import Addresses, ConnectFailed, Resolve
from pipeline.webhook.handshake import handshake
from pipeline.webhook.outbound import Outbound
from pipeline.webhook.proxy import Proxy
from pipeline.webhook.tls import endpoint_tls

# A resolver that takes longer does not hold up a declaration: the connection will ask it again.
LOOK_UP_S = 5.0


class Admission:
    """Made on the running loop.

    ``origin``: the DNS name that handshakes are asked for; empty: none can be.
    """

    def __init__(
        self,
        guard: Guard,
        outbound: Outbound,
        *,
        origin: str = "",
        proxy: Proxy | None = None,
        ca_file: str | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._guard, self._outbound, self._origin = guard, outbound, origin
        self._proxy, self._ca_file, self._resolve = proxy, ca_file, resolve

    async def admit(self, spec: Subscription, before: StoredSubscription | None = None) -> int | None:
        """Requests a minute that the endpoint grants; None: no bound, or no handshake was asked for.

        ``spec`` has its secrets in place: the endpoint is asked as it will be sent to, with the client certificate or
        credential. ``before``: what stood there, as stored; an endpoint that granted the same is not asked again.

        Raises `AddressBlocked` (of its URLs, by text or by any address they resolve to), `DeclarationInvalid` (its
        certificates or key cannot be used) and `HandshakeRefused`. A name that cannot be looked up now is no fault.
        """
        endpoint, auth = spec.endpoint, spec.endpoint.auth
        for url in (endpoint.url, auth.token_url if isinstance(auth, OAuth2Auth) else ""):
            if url:
                await self._check(url)
        tls = endpoint_tls(endpoint.ca, *_pair(endpoint), ca_file=self._ca_file)
        if not endpoint.handshake:
            return None
        asked = (without_secrets(endpoint), spec.rate_per_s)
        if before is not None and (without_secrets(before.spec.endpoint), before.spec.rate_per_s) == asked:
            return before.allowed_rate_per_min
        if not self._origin:
            raise DeclarationInvalid("/endpoint/handshake", True, "webhook.origin to be configured, as whom to ask")
        return (await handshake(self._outbound, endpoint, self._origin, spec.rate_per_s, tls=tls)).rate_per_min

    async def _check(self, url: str) -> None:
        target = self._guard.check_url(url)
        if self._proxy is not None and self._proxy.resolves:
            return
        addresses = Addresses(target.host, target.port, self._guard, resolve=self._resolve)
        with contextlib.suppress(ConnectFailed, TimeoutError):
            async with asyncio.timeout(LOOK_UP_S):
                await addresses.get()
        addresses.close()


def _pair(endpoint: Endpoint) -> tuple[str, str]:
    auth = endpoint.auth
    return (auth.certificate, auth.private_key) if isinstance(auth, MtlsAuth) and auth.private_key else ("", "")
