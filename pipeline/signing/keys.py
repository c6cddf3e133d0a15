"""Keys as text: ``whsec_…`` (``v1``), ``whsk_…`` and ``whpk_…`` (``v1a``). Errors never show one."""

from __future__ import annotations

import binascii

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.errors import SignatureInvalid

V1_KEY_BYTES_MIN, V1_KEY_BYTES_MAX = 24, 64
KEYS_MAX = 8
"""Two keys overlap in a rotation; no signer or verifier holds more than this many of a kind."""

_b64 = binascii.b2a_base64


def new_v1_secret(random32: bytes) -> str:
    """``whsec_…`` of 24 to 64 random bytes, as shown to the receiver once."""
    return "whsec_" + _b64(check_v1_key(random32), newline=False).decode()


def parse_v1_secret(text: str) -> bytes:
    """The HMAC key of a ``whsec_…`` secret; `SignatureInvalid` when it is none."""
    hint = "whsec_ without the v1, before it" if text.startswith("v1,whsec_") else "whsec_ and base64 of 24 to 64 bytes"
    return check_v1_key(_decoded_secret(text, "whsec_", hint))


def new_v1a_secret(seed32: bytes) -> str:
    """``whsk_…`` of 32 random bytes: base64 of the seed and its public key."""
    public = Ed25519PrivateKey.from_private_bytes(check_seed(seed32)).public_key().public_bytes_raw()
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
    public = Ed25519PrivateKey.from_private_bytes(check_seed(seed32)).public_key().public_bytes_raw()
    return "whpk_" + _b64(public, newline=False).decode()


def parse_v1a_public(text: str) -> bytes:
    """The 32-byte Ed25519 public key of a ``whpk_…`` text; `SignatureInvalid` when it is none."""
    public = _decoded_secret(text, "whpk_", "whpk_ and base64 of 32 bytes")
    if len(public) != 32:
        raise SignatureInvalid("secret", f"whpk_ of {len(public)} bytes", "whpk_ and base64 of 32 bytes")
    return public


def is_v1a(secret: str) -> bool:
    return secret.startswith(("whpk_", "whsk_"))


def public_of(secret: str) -> bytes:
    if secret.startswith("whpk_"):
        return parse_v1a_public(secret)
    return Ed25519PrivateKey.from_private_bytes(parse_v1a_secret(secret)).public_key().public_bytes_raw()


def check_v1_key(key: bytes) -> bytes:
    if not V1_KEY_BYTES_MIN <= len(key) <= V1_KEY_BYTES_MAX:
        raise SignatureInvalid("secret", f"a key of {len(key)} bytes", "24 to 64 random bytes")
    return key


def check_seed(seed: bytes) -> bytes:
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
