"""Secrets at rest: sealed by authenticated encryption under a key that has an id, so that keys can be changed.

Text form: ``sealed1.<key id>.<base64url of nonce and ciphertext>``, ChaCha20-Poly1305 (RFC 8439). What a secret
belongs to (`context`, such as its subscription's name) and the key id are authenticated with it: a sealed text copied
into another row does not open. Rotation: put the new key first, keep the old ones, seal again what `needs_resealing`,
then drop the old.
Errors never show a secret or a key.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pipeline.errors import DeclarationInvalid, FormatUnreadable

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
_VERSION = "sealed1"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
_KEY_ID = re.compile(r"[a-zA-Z0-9_-]{1,32}\Z")


class KeyRing:
    """Sealing keys by id, newest first: the first seals, all of them open. Each is 32 random bytes."""

    __slots__ = ("_ciphers", "newest")

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        if not keys:
            raise DeclarationInvalid("sealing keys", "none", "at least one")
        if len({key_id for key_id, _ in keys}) != len(keys):
            raise DeclarationInvalid("sealing keys", [key_id for key_id, _ in keys], "a different id for each")
        for key_id, key in keys:
            if not _KEY_ID.match(key_id):
                raise DeclarationInvalid("sealing key id", key_id, "1 to 32 characters of a-z A-Z 0-9 _ -")
            if len(key) != KEY_BYTES:
                raise DeclarationInvalid(f"sealing key {key_id}", f"{len(key)} bytes", f"{KEY_BYTES} random bytes")
        self.newest = keys[0][0]
        self._ciphers = {key_id: ChaCha20Poly1305(key) for key_id, key in keys}

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"

    def cipher(self, key_id: str) -> ChaCha20Poly1305 | None:
        return self._ciphers.get(key_id)


def parse_key(text: str) -> tuple[str, bytes]:
    """One key as configuration writes it, ``<id>:<base64 of 32 bytes>``; `DeclarationInvalid` does not show it."""
    key_id, colon, encoded = text.partition(":")
    try:
        key = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        key = b""
    if not colon or not _KEY_ID.match(key_id) or len(key) != KEY_BYTES:
        raise DeclarationInvalid(
            "sealing key", f"{len(text)} characters that are not shown", "<id>:<base64 of 32 bytes>"
        )
    return key_id, key


def seal(keys: KeyRing, plaintext: bytes, nonce: bytes, context: bytes) -> str:
    """`plaintext` sealed under the newest key; `nonce` is 12 random bytes, never used twice."""
    if len(nonce) != NONCE_BYTES:
        raise DeclarationInvalid("nonce", f"{len(nonce)} bytes", f"{NONCE_BYTES} random bytes")
    cipher = keys.cipher(keys.newest)
    assert cipher is not None
    sealed = nonce + cipher.encrypt(nonce, plaintext, _associated(keys.newest, context))
    encoded = binascii.b2a_base64(sealed, newline=False).translate(bytes.maketrans(b"+/", b"-_")).rstrip(b"=")
    return f"{_VERSION}.{keys.newest}.{encoded.decode()}"


def unseal(keys: KeyRing, text: str, context: bytes) -> bytes:
    """What was sealed in this `context`. Raises `FormatUnreadable`: no sealed text, unknown key, or tampered with."""
    key_id, sealed = _parsed(text)
    cipher = keys.cipher(key_id)
    if cipher is None:
        raise FormatUnreadable("sealed secret", f"key {key_id}", f"one of the keys held: {keys!r}")
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _associated(key_id, context))
    except InvalidTag:
        raise FormatUnreadable(
            "sealed secret", f"under key {key_id}", "what this key sealed for this place, unchanged"
        ) from None


def needs_resealing(keys: KeyRing, text: str) -> bool:
    """Whether `text` is sealed under another key than the newest."""
    return _parsed(text)[0] != keys.newest


def _parsed(text: str) -> tuple[str, bytes]:
    version, _, rest = text.partition(".")
    key_id, _, encoded = rest.partition(".")
    sealed = _from_base64url(encoded)
    if version != _VERSION or not _KEY_ID.match(key_id) or len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise FormatUnreadable("sealed secret", f"{len(text)} characters", f"{_VERSION}.<key id>.<base64url>")
    return key_id, sealed


def _from_base64url(text: str) -> bytes:
    if not _BASE64URL.match(text):
        return b""
    padded = text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4)
    try:
        return binascii.a2b_base64(padded, strict_mode=True)
    except ValueError:
        return b""


def _associated(key_id: str, context: bytes) -> bytes:
    return b"%b\0%b\0%b" % (_VERSION.encode(), key_id.encode(), context)
