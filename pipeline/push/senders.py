"""The sender of one run: its subscription's secrets unsealed into signatures, header lines and TLS.

A rotated signing secret goes on signing beside the new one until it retires, and stops at that very second: nothing is
restarted for it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial

from pipeline.errors import DeclarationInvalid
from pipeline.push.parts import WorkerParts
from pipeline.push.reading import Reading
from pipeline.sealing import unseal
from pipeline.signing import RotatingSigner, Signer, parse_v1_secret, parse_v1a_secret
from pipeline.subscription import AUTH_SECRETS, MtlsAuth, StoredSubscription, secret_context
from pipeline.webhook.auth import Authorized, authorization_of
from pipeline.webhook.sender import Sender
from pipeline.webhook.tls import endpoint_tls


def make_sender(reading: Reading, parts: WorkerParts, id_prefix: Callable[[str], str]) -> Sender:
    """Raises `FormatUnreadable` when a secret cannot be unsealed with the keys held, `DeclarationInvalid` when one is
    missing or a certificate cannot be used.
    """
    row = reading.row
    opened = Unsealed(row, lambda text: unseal(parts.keyring, text, secret_context(row.spec.name)).decode())
    return Sender(
        reading.spec,
        signer=opened.signer(),
        guard=parts.guard,
        topic_prefixes=id_prefix,
        defaults=parts.defaults,
        wall_clock=parts.clock.wall,
        run_id=reading.run_id,
        settings=parts.sending,
        authorization=opened.authorization(parts),
        tls=opened.tls(parts.sending.ca_file),
        on_connection=partial(parts.hooks.on_connection, reading.group),
    )


class Unsealed:
    """What a row's secrets become. ``unsealed`` opens one sealed text."""

    def __init__(self, row: StoredSubscription, unsealed: Callable[[str], str]) -> None:
        self._row, self._endpoint, self._unsealed = row, row.spec.endpoint, unsealed
        self._auth = unsealed(row.secrets.auth) if row.secrets.auth else ""
        wanted = AUTH_SECRETS.get(type(self._endpoint.auth))
        if wanted is not None and not self._auth:
            raise DeclarationInvalid(f"/endpoint/auth/{wanted}", "(absent)", "the secret of the endpoint's auth")

    def signer(self) -> Signer:
        """Signs with what the subscription asks for, the newest secret first."""
        row, signing = self._row, self._row.spec.signing
        v1 = [parse_v1_secret(self._unsealed(text)) for text in row.secrets.v1]
        v1a = [parse_v1a_secret(self._unsealed(text)) for text in row.secrets.v1a] if signing.v1a else []
        github = v1[0] if signing.github and v1 else None
        if not signing.v1:
            v1 = []
        if max(len(v1), len(v1a)) > 1:
            return RotatingSigner(v1, v1a, github, retire_at_ms=row.secrets.retire_at_ms)
        return Signer(v1, v1a, github)

    def authorization(self, parts: WorkerParts) -> Authorized | None:
        """Header lines of its auth and its secret headers."""
        headers = {name: self._unsealed(text) for name, text in self._row.secrets.headers.items()}
        return authorization_of(
            self._endpoint,
            self._auth,
            headers,
            outbound=parts.outbound,
            clock=parts.clock.monotonic,
            origin=parts.origin,
        )

    def tls(self, ca_file: str | None) -> ssl.SSLContext | None:
        """For a private authority or a client certificate; None: the operator's settings serve."""
        auth = self._endpoint.auth
        certificate, key = (auth.certificate, self._auth) if isinstance(auth, MtlsAuth) else ("", "")
        return endpoint_tls(self._endpoint.ca, certificate, key, ca_file=ca_file)
