"""Signing secrets: made by us, shown once, kept only sealed to the subscription they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipeline.sealing import NONCE_BYTES, KeyRing, seal
from pipeline.signing import new_v1_secret, new_v1a_secret, v1a_public
from pipeline.subscription import SealedSecrets, Signing, secret_context


class Shown(NamedTuple):
    """What the caller is told, this once: the ``whsec_`` secret, and the ``whpk_`` key that verifies ``v1a``."""

    secret: str | None
    public_key: str | None


def missing_secrets(
    name: str, signing: Signing, held: SealedSecrets, *, keyring: KeyRing, random: Callable[[int], bytes]
) -> tuple[SealedSecrets, Shown]:
    """The secrets that ``signing`` needs: those held are kept, others are made. ``random`` gives random bytes."""
    v1, v1a = held.v1, held.v1a
    secret = public_key = None
    if (signing.v1 or signing.github) and not v1:
        secret = new_v1_secret(random(32))
        v1 = (seal(keyring, secret.encode(), random(NONCE_BYTES), secret_context(name)),)
    if signing.v1a and not v1a:
        seed = random(32)
        public_key = v1a_public(seed)
        v1a = (seal(keyring, new_v1a_secret(seed).encode(), random(NONCE_BYTES), secret_context(name)),)
    return SealedSecrets(v1=v1, v1a=v1a), Shown(secret, public_key)
