"""Verifying: whether a delivery is authentic and fresh."""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.errors import SignatureInvalid
from pipeline.signing.keys import KEYS_MAX, is_v1a, parse_v1_secret, public_of
from pipeline.signing.signer import hmac_states, mac

TOLERANCE_S = 300.0
# More than this many signatures in one header is an attempt to make us compute.
SIGNATURES_MAX = 16


class Verifier:
    """Verifies deliveries against any of `secrets` (``whsec_…``, ``whpk_…``, ``whsk_…``); both while rotating."""

    __slots__ = ("_v1", "_v1a")

    def __init__(self, secrets: Sequence[str]) -> None:
        if not 1 <= len(secrets) <= KEYS_MAX:
            raise SignatureInvalid("secret", f"{len(secrets)} secrets", f"1 to {KEYS_MAX} of them")
        self._v1 = [hmac_states(parse_v1_secret(text)) for text in secrets if not is_v1a(text)]
        publics = [public_of(text) for text in secrets if is_v1a(text)]
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
        return any(hmac.compare_digest(mac(states, signed), signature) for states in self._v1)

    def _matches_v1a(self, signed: bytes, signature: bytes) -> bool:
        for key in self._v1a:
            try:
                key.verify(signature, signed)
            except InvalidSignature:
                continue
            return True
        return False


def _decoded_signature(text: str) -> bytes | None:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def _webhook_headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    found = {name.lower(): value for name, value in headers.items() if name.lower().startswith("webhook-")}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not found.get(name):
            raise SignatureInvalid(name, "", "this header on every delivery")
    return found["webhook-id"], found["webhook-timestamp"], found["webhook-signature"]
