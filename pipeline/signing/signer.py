"""Signing: the headers of one attempt. Per delivery, and compiled (`make compiled`)."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.errors import SignatureInvalid
from pipeline.signing.keys import KEYS_MAX, check_seed, check_v1_key

_INNER_PAD, _OUTER_PAD = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))
_b64 = binascii.b2a_base64


class Signer:
    """Signs deliveries with every key it holds, newest first: ``v1_keys`` and ``v1a_seeds`` as decoded bytes.

    Raises `SignatureInvalid` for keys of a wrong length, for more than 8 of a kind, and when there is none at all.
    """

    __slots__ = ("_github", "_only_v1", "_v1", "_v1a")

    def __init__(
        self, v1_keys: Sequence[bytes], v1a_seeds: Sequence[bytes] = (), github_key: bytes | None = None
    ) -> None:
        for name, keys in (("v1_keys", v1_keys), ("v1a_seeds", v1a_seeds)):
            if len(keys) > KEYS_MAX:
                raise SignatureInvalid(name, f"{len(keys)} keys", f"at most {KEYS_MAX}")
        if not v1_keys and not v1a_seeds and github_key is None:
            raise SignatureInvalid("v1_keys", "no key", "at least one key to sign with")
        self._v1 = tuple(hmac_states(check_v1_key(key)) for key in v1_keys)
        self._v1a = tuple(Ed25519PrivateKey.from_private_bytes(check_seed(seed)) for seed in v1a_seeds)
        self._github = hmac_states(github_key) if github_key is not None else None
        self._only_v1 = self._v1[0] if len(self._v1) == 1 and not self._v1a else None

    def sign(self, webhook_id: bytes, timestamp: bytes, body: bytes) -> bytes:
        """The ``webhook-signature`` of one attempt, ``v1,<base64> v1a,<base64>``; empty with only a GitHub key."""
        if b"." in webhook_id or b"." in timestamp:
            raise SignatureInvalid("webhook-id", webhook_id.decode("latin-1"), "an id and a timestamp without a dot")
        signed = b"%b.%b.%b" % (webhook_id, timestamp, body)
        if self._only_v1 is None:
            return self._sign_with_all(signed)
        # HMAC by hand from states keyed beforehand: half of hmac.digest(), which derives both pads on every call.
        inner, outer = self._only_v1
        inner = inner.copy()
        inner.update(signed)
        outer = outer.copy()
        outer.update(inner.digest())
        return b"v1," + _b64(outer.digest(), newline=False)

    def sign_github(self, body: bytes) -> bytes | None:
        """The ``x-hub-signature-256`` of `body`, or None without a GitHub key."""
        if self._github is None:
            return None
        return b"sha256=" + mac(self._github, body).hex().encode()

    def _sign_with_all(self, signed: bytes) -> bytes:
        signatures = [b"v1," + _b64(mac(states, signed), newline=False) for states in self._v1]
        signatures += [b"v1a," + _b64(key.sign(signed), newline=False) for key in self._v1a]
        return b" ".join(signatures)


class RotatingSigner(Signer):
    """Signs with all keys until ``retire_at_ms`` (unix milliseconds), then with the first of each kind."""

    __slots__ = ("_newest", "_until_s")

    def __init__(
        self, v1_keys: Sequence[bytes], v1a_seeds: Sequence[bytes], github_key: bytes | None, *, retire_at_ms: int
    ) -> None:
        super().__init__(v1_keys, v1a_seeds, github_key)
        self._newest = Signer(v1_keys[:1], v1a_seeds[:1], github_key)
        self._until_s = retire_at_ms // 1000

    def sign(self, webhook_id: bytes, timestamp: bytes, body: bytes) -> bytes:
        """See `Signer.sign`. The attempt's own timestamp decides: no clock is asked."""
        if int(timestamp) < self._until_s:
            return super().sign(webhook_id, timestamp, body)
        return self._newest.sign(webhook_id, timestamp, body)


def hmac_states(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """HMAC-SHA256 under ``key``, begun: what `mac` goes on from, as often as is signed."""
    # RFC 2104: keys longer than a block are hashed first; the pads fill one block each.
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    return hashlib.sha256(block.translate(_INNER_PAD)), hashlib.sha256(block.translate(_OUTER_PAD))


def mac(states: tuple[hashlib._Hash, hashlib._Hash], message: bytes) -> bytes:
    inner, outer = states[0].copy(), states[1].copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()
