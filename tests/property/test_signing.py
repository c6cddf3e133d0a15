"""Signatures and sealed secrets: what is made opens, what is changed does not."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from pipeline.errors import FormatUnreadable, SignatureInvalid
from pipeline.sealing import KeyRing, seal, unseal
from pipeline.signing import Signer, Verifier, new_v1_secret, new_v1a_secret, parse_v1_secret, v1a_public

KEYS = st.binary(min_size=24, max_size=64)
SEEDS = st.binary(min_size=32, max_size=32)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True)
NOW = st.integers(0, 2**33)


def headers(signature: bytes, id_: str, now: int) -> dict[str, str]:
    return {"webhook-id": id_, "webhook-timestamp": str(now), "webhook-signature": signature.decode()}


@given(KEYS, IDS, NOW, st.binary(max_size=300))
def test_v1_is_the_hmac_of_id_timestamp_and_body(key: bytes, id_: str, now: int, body: bytes) -> None:
    expected = b64encode(hmac.new(key, f"{id_}.{now}.".encode() + body, hashlib.sha256).digest())
    assert Signer([key]).sign(id_.encode(), str(now).encode(), body) == b"v1," + expected


@given(st.lists(KEYS, max_size=3), st.lists(SEEDS, max_size=2), IDS, NOW, st.binary(max_size=100))
def test_each_key_of_a_rotation_verifies_alone(
    keys: list[bytes], seeds: list[bytes], id_: str, now: int, body: bytes
) -> None:
    assume(keys or seeds)
    sent = headers(Signer(keys, seeds).sign(id_.encode(), str(now).encode(), body), id_, now)
    for secret in [new_v1_secret(key) for key in keys] + [v1a_public(seed) for seed in seeds]:
        Verifier([secret]).verify(sent, body, now)
    for seed in seeds:
        Verifier([new_v1a_secret(seed)]).verify(sent, body, now)


@given(KEYS, SEEDS, IDS, NOW, st.binary(max_size=60), st.data())
def test_a_changed_bit_of_the_body_is_noticed(
    key: bytes, seed: bytes, id_: str, now: int, body: bytes, data: st.DataObject
) -> None:
    assume(body)
    sent = headers(Signer([key], [seed]).sign(id_.encode(), str(now).encode(), body), id_, now)
    place, bit = data.draw(st.integers(0, len(body) - 1)), data.draw(st.integers(0, 7))
    changed = body[:place] + bytes([body[place] ^ (1 << bit)]) + body[place + 1 :]
    with pytest.raises(SignatureInvalid):
        Verifier([new_v1_secret(key), v1a_public(seed)]).verify(sent, changed, now)


@given(KEYS, st.text(max_size=60), st.text(max_size=30), st.text(max_size=200), st.binary(max_size=20))
def test_hostile_headers_are_refused_and_nothing_else(key: bytes, id_: str, at: str, sig: str, body: bytes) -> None:
    sent = {"Webhook-ID": id_, "webhook-timestamp": at, "WEBHOOK-signature": sig}
    with pytest.raises(SignatureInvalid):
        Verifier([new_v1_secret(key)]).verify(sent, body, 0.0)


@given(st.text(max_size=80))
def test_any_text_is_a_secret_or_refused(text: str) -> None:
    """What we take for a secret, the reference library takes for the same key."""
    try:
        key = parse_v1_secret(text)
    except SignatureInvalid:
        return
    assert Webhook(text)._whsecret == key


@given(st.binary(max_size=100), SEEDS, st.binary(max_size=30), st.binary(min_size=12, max_size=12))
def test_a_sealed_secret_opens_in_its_place_only(secret: bytes, key: bytes, context: bytes, nonce: bytes) -> None:
    ring = KeyRing([("k", key)])
    text = seal(ring, secret, nonce, context)
    assert unseal(ring, text, context) == secret
    with pytest.raises(FormatUnreadable):
        unseal(ring, text, context + b"x")


@given(st.text(max_size=80))
def test_any_text_is_refused_as_a_sealed_secret(text: str) -> None:
    with pytest.raises(FormatUnreadable):
        unseal(KeyRing([("k", bytes(32))]), text, b"x")
