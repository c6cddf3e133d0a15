"""Secrets of a subscription: made by us or given with its declaration, kept only sealed to the row they belong to.

Signing secrets are made here and shown once. Those of an endpoint (its credential, its secret headers) come with a
declaration, are taken out of it before anything else looks at it, and are never shown again. A credential that is
stored goes only where it was given for: a declaration that names another host has to bring it anew, or whoever may
change a URL could have it sent to himself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from pipeline.errors import Conflict, DeclarationInvalid, FormatUnreadable
from pipeline.sealing import NONCE_BYTES, KeyRing, needs_resealing, seal, unseal
from pipeline.signing import new_v1_secret, new_v1a_secret, v1a_public
from pipeline.subscription import (
    AUTH_SECRETS,
    OAuth2Auth,
    SealedSecrets,
    Signing,
    StoredSubscription,
    Subscription,
    is_credential,
    secret_context,
)
from pipeline.subscriptions.faults import DeclarationsInvalid

OVERLAP_S = 24 * 3600
OVERLAP_S_MAX = 30 * 24 * 3600
# The newest and those before it that still sign. Verifiers compute one signature each.
SIGNING_SECRETS_MAX = 4


class Shown(NamedTuple):
    """What the caller is told, this once: the ``whsec_`` secret, and the ``whpk_`` key that verifies ``v1a``."""

    secret: str | None
    public_key: str | None


class GivenSecrets(NamedTuple):
    """What a declaration brought: the endpoint's credential (empty: none came) and its secret headers by name."""

    auth: str
    headers: dict[str, str]


class Sealer:
    """Seals to a subscription's name under the newest key. ``random`` gives random bytes."""

    def __init__(self, keyring: KeyRing, random: Callable[[int], bytes]) -> None:
        self._keyring, self.random = keyring, random

    def seal(self, name: str, secret: str) -> str:
        return seal(self._keyring, secret.encode(), self.random(NONCE_BYTES), secret_context(name))

    def unseal(self, name: str, text: str) -> str:
        """Raises `FormatUnreadable` without the key."""
        return unseal(self._keyring, text, secret_context(name)).decode()

    def opens_to(self, name: str, text: str, secret: str) -> bool:
        """Whether ``text`` is ``secret`` sealed; also False when no key held opens it."""
        try:
            return bool(text) and self.unseal(name, text) == secret
        except FormatUnreadable:
            return False

    def resealed(self, name: str, text: str) -> str:
        """``text`` under the newest key; itself when it is that already, or there is nothing."""
        if not text or not needs_resealing(self._keyring, text):
            return text
        return self.seal(name, self.unseal(name, text))


def take_secrets(spec: Subscription) -> tuple[Subscription, GivenSecrets]:
    """``spec`` with ``""`` where secrets stood, and the secrets. What is stored, shown, compared is the former."""
    endpoint, auth = spec.endpoint, spec.endpoint.auth
    field = AUTH_SECRETS.get(type(auth))
    named = {name: value for name, value in endpoint.headers.items() if is_credential(name)}
    headers = {**named, **endpoint.secret_headers}
    without = msgspec.structs.replace(
        endpoint,
        headers={name: value for name, value in endpoint.headers.items() if name not in named},
        secret_headers=dict.fromkeys(headers, ""),
        auth=auth if field is None else msgspec.structs.replace(auth, **{field: ""}),
    )
    given = GivenSecrets("" if field is None else getattr(auth, field), headers)
    return msgspec.structs.replace(spec, endpoint=without), given


def kept_secrets(
    spec: Subscription, given: GivenSecrets, old: StoredSubscription | None, sealer: Sealer
) -> SealedSecrets:
    """The endpoint's secrets to store beside ``spec`` (whose own are taken out): those given, else those stored.

    A secret given that is the stored one leaves its sealed text as it is. Raises `DeclarationsInvalid` naming each that
    neither was given nor may be kept.
    """
    held = SealedSecrets() if old is None else old.secrets
    absent: list[DeclarationInvalid] = []

    def chosen(new: str, stored: str, keep: bool, pointer: str) -> str:
        if new:
            return stored if sealer.opens_to(spec.name, stored, new) else sealer.seal(spec.name, new)
        if not (stored and keep):
            absent.append(DeclarationInvalid(pointer, "", "the secret: none is stored for this endpoint"))
        return stored

    field = AUTH_SECRETS.get(type(spec.endpoint.auth))
    auth = ""
    if field is not None:
        same = old is not None and _audience(old.spec) == _audience(spec)
        auth = chosen(given.auth, held.auth, same, f"/endpoint/auth/{field}")
    here = old is not None and _origin(old.spec.endpoint.url) == _origin(spec.endpoint.url)
    headers = {
        name: chosen(value, held.headers.get(name, ""), here, f"/endpoint/secret_headers/{name}")
        for name, value in given.headers.items()
    }
    if absent:
        raise DeclarationsInvalid(absent)
    return msgspec.structs.replace(held, auth=auth, headers=headers)


def with_secrets(spec: Subscription, sealed: SealedSecrets, sealer: Sealer) -> Subscription:
    """``spec`` with its endpoint's secrets in place again, for whoever calls the endpoint; never to store or show.

    Raises `FormatUnreadable` when a stored one does not open with the keys held.
    """
    endpoint, auth = spec.endpoint, spec.endpoint.auth
    field = AUTH_SECRETS.get(type(auth))
    if field is not None:
        auth = msgspec.structs.replace(auth, **{field: sealer.unseal(spec.name, sealed.auth)})
    headers = {name: sealer.unseal(spec.name, sealed.headers[name]) for name in endpoint.secret_headers}
    return msgspec.structs.replace(spec, endpoint=msgspec.structs.replace(endpoint, auth=auth, secret_headers=headers))


def missing_secrets(name: str, signing: Signing, held: SealedSecrets, sealer: Sealer) -> tuple[SealedSecrets, Shown]:
    """The secrets that ``signing`` needs: those held are kept, others are made."""
    needs_v1, needs_v1a = (signing.v1 or signing.github) and not held.v1, signing.v1a and not held.v1a
    return _with_new(name, held, sealer, v1=needs_v1, v1a=needs_v1a)


def rotated(
    name: str, row: StoredSubscription, sealer: Sealer, *, now_ms: int, overlap_s: int
) -> tuple[SealedSecrets, Shown]:
    """New signing secrets in front of those that sign now, which go on signing for ``overlap_s``.

    Raises `Conflict` when that would make more than `SIGNING_SECRETS_MAX` of them at once.
    """
    held = without_retired(row.secrets, now_ms)
    if overlap_s == 0:
        held = msgspec.structs.replace(held, v1=held.v1[:1], v1a=held.v1a[:1])
    if overlap_s and max(len(held.v1), len(held.v1a)) >= SIGNING_SECRETS_MAX:
        raise Conflict(f"{name} has {SIGNING_SECRETS_MAX} signing secrets already; wait, or rotate with overlap_s 0")
    signing = row.spec.signing
    made, shown = _with_new(name, held, sealer, v1=signing.v1 or signing.github, v1a=signing.v1a)
    if overlap_s == 0:
        return msgspec.structs.replace(made, v1=made.v1[:1], v1a=made.v1a[:1], retire_at_ms=0), shown
    return msgspec.structs.replace(made, retire_at_ms=now_ms + overlap_s * 1000), shown


def without_retired(held: SealedSecrets, now_ms: int) -> SealedSecrets:
    """``held`` without signing secrets whose time is over."""
    if not held.retire_at_ms or now_ms < held.retire_at_ms:
        return held
    return msgspec.structs.replace(held, v1=held.v1[:1], v1a=held.v1a[:1], retire_at_ms=0)


def resealed(name: str, held: SealedSecrets, sealer: Sealer) -> SealedSecrets:
    """``held`` with every secret under the newest key. Raises `FormatUnreadable` for one that does not open."""
    return msgspec.structs.replace(
        held,
        v1=tuple(sealer.resealed(name, text) for text in held.v1),
        v1a=tuple(sealer.resealed(name, text) for text in held.v1a),
        auth=sealer.resealed(name, held.auth),
        headers={header: sealer.resealed(name, text) for header, text in held.headers.items()},
    )


def sealing_keys(held: SealedSecrets) -> list[str]:
    """Ids of the keys that its secrets are sealed under (``sealing.py`` has the form)."""
    texts = (*held.v1, *held.v1a, held.auth, *held.headers.values())
    return sorted({text.split(".")[1] for text in texts if text})


def unsealed(row: StoredSubscription, sealer: Sealer) -> list[str]:
    """Every secret of ``row`` in the clear: to take them out of what an endpoint echoes, never to show."""
    held = row.secrets
    texts = [*held.v1, *held.v1a, *([held.auth] if held.auth else []), *held.headers.values()]
    return [sealer.unseal(row.spec.name, text) for text in texts if text]


def _with_new(name: str, held: SealedSecrets, sealer: Sealer, *, v1: bool, v1a: bool) -> tuple[SealedSecrets, Shown]:
    secret = public_key = None
    if v1:
        secret = new_v1_secret(sealer.random(32))
        held = msgspec.structs.replace(held, v1=(sealer.seal(name, secret), *held.v1))
    if v1a:
        seed = sealer.random(32)
        public_key = v1a_public(seed)
        held = msgspec.structs.replace(held, v1a=(sealer.seal(name, new_v1a_secret(seed)), *held.v1a))
    return held, Shown(secret, public_key)


def _audience(spec: Subscription) -> tuple[object, ...]:
    """Whom a credential is for: its kind, the endpoint's host, and who is asked for tokens."""
    auth = spec.endpoint.auth
    token_url = _origin(auth.token_url) if isinstance(auth, OAuth2Auth) else None
    return type(auth), _origin(spec.endpoint.url), token_url


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
