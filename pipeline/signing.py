"""Standard Webhooks 1.0.0: sign what is sent, verify what came.

Signed bytes are ``id.timestamp.body``, the body exactly as sent; neither id nor timestamp may contain a dot, or two
different deliveries could share one signature. ``v1`` is HMAC-SHA256 under a secret both sides hold (``whsec_…``),
``v1a`` is pure Ed25519 (``whsk_…`` signs, ``whpk_…`` verifies). While a secret is rotated a delivery carries one
signature per key, and a verifier takes any that matches. Headers are not signed: receivers that must trust CloudEvents
attributes take them in structured mode. GitHub's ``x-hub-signature-256`` is there for receivers that know only that.

Errors never show a secret. Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.errors import SignatureInvalid

TOLERANCE_S = 300.0
V1_KEY_BYTES_MIN, V1_KEY_BYTES_MAX = 24, 64
# Two keys overlap in a rotation; more than this many in one header is an attempt to make us compute.
SIGNATURES_MAX = 16
KEYS_MAX = 8

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
        self._v1 = tuple(_hmac_states(_check_v1_key(key)) for key in v1_keys)
        self._v1a = tuple(Ed25519PrivateKey.from_private_bytes(_check_seed(seed)) for seed in v1a_seeds)
        self._github = _hmac_states(github_key) if github_key is not None else None
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
        return b"sha256=" + _mac(self._github, body).hex().encode()

    def _sign_with_all(self, signed: bytes) -> bytes:
        signatures = [b"v1," + _b64(_mac(states, signed), newline=False) for states in self._v1]
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


class Verifier:
    """Verifies deliveries against any of `secrets` (``whsec_…``, ``whpk_…``, ``whsk_…``); both while rotating."""

    __slots__ = ("_v1", "_v1a")

    def __init__(self, secrets: Sequence[str]) -> None:
        if not 1 <= len(secrets) <= KEYS_MAX:
            raise SignatureInvalid("secret", f"{len(secrets)} secrets", f"1 to {KEYS_MAX} of them")
        self._v1 = [_hmac_states(parse_v1_secret(text)) for text in secrets if not _is_v1a(text)]
        publics = [_public_of(text) for text in secrets if _is_v1a(text)]
        self._v1a = [Ed25519PublicKey.from_public_bytes(public) for public in publics]

    def verify(self, headers: Mapping[str, str], body: bytes, now: float, *, tolerance_s: float = TOLERANCE_S) -> None:
        """Return if the delivery is authentic and fresh at `now` (unix seconds), else raise `SignatureInvalid`.

        The caller then drops ids it has seen (a retry carries the same ``webhook-id``) and reads `body` as it came.
        """
        webhook_id, timestamp, signatures = _webhook_headers(headers)
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise SignatureInvalid("webhook-timestamp", timestamp, "whole unix seconds")
        if abs(now - int(timestamp)) > tolerance_s:
            late = "too old" if now > int(timestamp) else "in the future"
            raise SignatureInvalid("webhook-timestamp", timestamp, f"within {tolerance_s:g} s of now, not {late}")
        if "." in webhook_id:
            raise SignatureInvalid("webhook-id", webhook_id, "an id without a dot")
        try:
            head = f"{webhook_id}.{timestamp}.".encode("latin-1")
        except UnicodeEncodeError:
            raise SignatureInvalid("webhook-id", webhook_id, "an id of single-byte characters") from None
        self._verify_any(head + body, signatures)

    def _verify_any(self, signed: bytes, signatures: str) -> None:
        known = 0
        listed = signatures.split(maxsplit=SIGNATURES_MAX)
        for entry in listed[:SIGNATURES_MAX]:
            version, _, text = entry.partition(",")
            if version not in ("v1", "v1a"):
                continue
            known += 1
            signature = _decoded_signature(text)
            if signature is None:
                continue
            if self._matches_v1(signed, signature) if version == "v1" else self._matches_v1a(signed, signature):
                return
        if not known:
            raise SignatureInvalid("webhook-signature", signatures, "a v1 or v1a signature among them")
        raise SignatureInvalid("webhook-signature", signatures, "a signature of this body by one of the secrets")

    def _matches_v1(self, signed: bytes, signature: bytes) -> bool:
        return any(hmac.compare_digest(_mac(states, signed), signature) for states in self._v1)

    def _matches_v1a(self, signed: bytes, signature: bytes) -> bool:
        for key in self._v1a:
            try:
                key.verify(signature, signed)
            except InvalidSignature:
                continue
            return True
        return False


def new_v1_secret(random32: bytes) -> str:
    """``whsec_…`` of 24 to 64 random bytes, as shown to the receiver once."""
    return "whsec_" + _b64(_check_v1_key(random32), newline=False).decode()


def parse_v1_secret(text: str) -> bytes:
    """The HMAC key of a ``whsec_…`` secret; `SignatureInvalid` when it is none."""
    hint = "whsec_ without the v1, before it" if text.startswith("v1,whsec_") else "whsec_ and base64 of 24 to 64 bytes"
    return _check_v1_key(_decoded_secret(text, "whsec_", hint))


def new_v1a_secret(seed32: bytes) -> str:
    """``whsk_…`` of 32 random bytes: base64 of the seed and its public key."""
    public = Ed25519PrivateKey.from_private_bytes(_check_seed(seed32)).public_key().public_bytes_raw()
    return "whsk_" + _b64(seed32 + public, newline=False).decode()


def parse_v1a_secret(text: str) -> bytes:
    """The 32-byte seed of a ``whsk_…`` secret; `SignatureInvalid` if it is none or its halves are no pair."""
    expected = "whsk_ and base64 of a 32-byte seed and its 32-byte public key"
    pair = _decoded_secret(text, "whsk_", expected)
    if len(pair) != 64:
        raise SignatureInvalid("secret", f"whsk_ of {len(pair)} bytes", expected)
    if Ed25519PrivateKey.from_private_bytes(pair[:32]).public_key().public_bytes_raw() != pair[32:]:
        raise SignatureInvalid("secret", "whsk_ whose halves are not a pair", expected)
    return pair[:32]


def v1a_public(seed32: bytes) -> str:
    """``whpk_…``, what a receiver needs to verify ``v1a`` signatures made with this seed."""
    public = Ed25519PrivateKey.from_private_bytes(_check_seed(seed32)).public_key().public_bytes_raw()
    return "whpk_" + _b64(public, newline=False).decode()


def parse_v1a_public(text: str) -> bytes:
    """The 32-byte Ed25519 public key of a ``whpk_…`` text; `SignatureInvalid` when it is none."""
    public = _decoded_secret(text, "whpk_", "whpk_ and base64 of 32 bytes")
    if len(public) != 32:
        raise SignatureInvalid("secret", f"whpk_ of {len(public)} bytes", "whpk_ and base64 of 32 bytes")
    return public


def _hmac_states(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    # RFC 2104: keys longer than a block are hashed first; the pads fill one block each.
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    return hashlib.sha256(block.translate(_INNER_PAD)), hashlib.sha256(block.translate(_OUTER_PAD))


def _mac(states: tuple[hashlib._Hash, hashlib._Hash], message: bytes) -> bytes:
    inner, outer = states[0].copy(), states[1].copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


def _check_v1_key(key: bytes) -> bytes:
    if not V1_KEY_BYTES_MIN <= len(key) <= V1_KEY_BYTES_MAX:
        raise SignatureInvalid("secret", f"a key of {len(key)} bytes", "24 to 64 random bytes")
    return key


def _check_seed(seed: bytes) -> bytes:
    if len(seed) != 32:
        raise SignatureInvalid("secret", f"a seed of {len(seed)} bytes", "32 random bytes")
    return seed


def _decoded_secret(text: str, prefix: str, expected: str) -> bytes:
    shown = f"{len(text)} characters that are not shown"
    if not text.startswith(prefix):
        raise SignatureInvalid("secret", shown, expected)
    try:
        return binascii.a2b_base64(text[len(prefix) :], strict_mode=True)
    except ValueError:
        raise SignatureInvalid("secret", shown, expected) from None


def _decoded_signature(text: str) -> bytes | None:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def _is_v1a(secret: str) -> bool:
    return secret.startswith(("whpk_", "whsk_"))


def _public_of(secret: str) -> bytes:
    if secret.startswith("whpk_"):
        return parse_v1a_public(secret)
    return Ed25519PrivateKey.from_private_bytes(parse_v1a_secret(secret)).public_key().public_bytes_raw()


def _webhook_headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    found = {name.lower(): value for name, value in headers.items() if name.lower().startswith("webhook-")}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not found.get(name):
            raise SignatureInvalid(name, "", "this header on every delivery")
    return found["webhook-id"], found["webhook-timestamp"], found["webhook-signature"]
