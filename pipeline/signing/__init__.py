"""Standard Webhooks 1.0.0: sign what is sent, verify what came.

Signed bytes are ``id.timestamp.body``, the body exactly as sent; neither id nor timestamp may contain a dot, or two
different deliveries could share one signature. ``v1`` is HMAC-SHA256 under a secret both sides hold (``whsec_…``),
``v1a`` is pure Ed25519 (``whsk_…`` signs, ``whpk_…`` verifies). While a secret is rotated a delivery carries one
signature per key, and a verifier takes any that matches. Headers are not signed: receivers that must trust CloudEvents
attributes take them in structured mode. GitHub's ``x-hub-signature-256`` is there for receivers that know only that.

Errors never show a secret. Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from pipeline.signing.keys import (
    new_v1_secret,
    new_v1a_secret,
    parse_v1_secret,
    parse_v1a_public,
    parse_v1a_secret,
    v1a_public,
)
from pipeline.signing.signer import RotatingSigner, Signer
from pipeline.signing.verifier import Verifier

__all__ = [
    "RotatingSigner",
    "Signer",
    "Verifier",
    "new_v1_secret",
    "new_v1a_secret",
    "parse_v1_secret",
    "parse_v1a_public",
    "parse_v1a_secret",
    "v1a_public",
]
