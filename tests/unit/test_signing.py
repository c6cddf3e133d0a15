from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import new as new_hmac
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from pipeline.errors import SignatureInvalid
from pipeline.signing import (
    Signer,
    Verifier,
    new_v1_secret,
    new_v1a_secret,
    parse_v1_secret,
    parse_v1a_public,
    parse_v1a_secret,
    v1a_public,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/standard-webhooks/vectors.json").read_text())
V1, V1A = VECTORS
KEY, OLD_KEY, SEED = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
NOW = 1_795_219_200
BODY = b'{"n": 1}'


def headers(signature: bytes, *, id_: str = "evt_1", at: int = NOW) -> dict[str, str]:
    return {"webhook-id": id_, "webhook-timestamp": str(at), "webhook-signature": signature.decode()}


def signed(signer: Signer, body: bytes = BODY) -> dict[str, str]:
    return headers(signer.sign(b"evt_1", b"%d" % NOW, body))


def signer_of(vector: dict[str, Any]) -> Signer:
    if vector["secret"].startswith("whsk_"):
        return Signer([], [parse_v1a_secret(vector["secret"])])
    return Signer([parse_v1_secret(vector["secret"])])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_published_vector_is_signed_as_published(vector: dict[str, Any]) -> None:
    signature = signer_of(vector).sign(vector["id"].encode(), b"%d" % vector["timestamp"], vector["body"].encode())
    assert signature.decode() == vector["signature"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
@pytest.mark.parametrize("which", ["secret", "public"])
def test_a_published_vector_verifies(vector: dict[str, str], which: str) -> None:
    sent = {
        "Webhook-Id": vector["id"],
        "Webhook-Timestamp": str(vector["timestamp"]),
        "Webhook-Signature": vector["signature"],
    }
    secret = vector.get(which, vector["secret"])
    Verifier([secret]).verify(sent, vector["body"].encode(), float(vector["timestamp"]))


def test_the_public_half_of_the_published_secret_is_its_public_key() -> None:
    assert v1a_public(parse_v1a_secret(V1A["secret"])) == V1A["public"]


def test_the_reference_library_accepts_what_we_sign() -> None:
    now = int(datetime.now(UTC).timestamp())
    signature = Signer([KEY, OLD_KEY], [SEED]).sign(b"evt_1", b"%d" % now, BODY)
    for key in (KEY, OLD_KEY):
        Webhook(new_v1_secret(key)).verify(BODY, headers(signature, at=now))
    with pytest.raises(WebhookVerificationError):
        Webhook(new_v1_secret(SEED)).verify(BODY, headers(signature, at=now))


def test_we_accept_what_the_reference_library_signs() -> None:
    signature = Webhook(new_v1_secret(KEY)).sign("evt_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())
    Verifier([new_v1_secret(KEY)]).verify(headers(signature.encode()), BODY, NOW)


def test_while_rotating_new_and_old_receivers_both_verify() -> None:
    sent = signed(Signer([KEY, OLD_KEY]))
    assert sent["webhook-signature"].count("v1,") == 2
    for key in (KEY, OLD_KEY):
        Verifier([new_v1_secret(key)]).verify(sent, BODY, NOW)


def test_a_receiver_with_both_secrets_takes_either() -> None:
    verifier = Verifier([new_v1_secret(KEY), new_v1_secret(OLD_KEY), v1a_public(SEED)])
    for signer in (Signer([KEY]), Signer([OLD_KEY]), Signer([], [SEED])):
        verifier.verify(signed(signer), BODY, NOW)


def test_unknown_versions_and_broken_entries_beside_a_good_one_are_passed_over() -> None:
    good = signed(Signer([KEY]))["webhook-signature"]
    text = f"v2,abc v1,!! v1 , v1, {good}"
    Verifier([new_v1_secret(KEY)]).verify(headers(text.encode()), BODY, NOW)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"webhook-id": "evt_2"}, "webhook-signature"),
        ({"webhook-id": ""}, "webhook-id"),
        ({"webhook-id": "a.b"}, "webhook-id"),
        ({"webhook-id": "☃"}, "webhook-id"),
        ({"webhook-timestamp": str(NOW + 1)}, "webhook-signature"),
        ({"webhook-timestamp": "now"}, "webhook-timestamp"),
        ({"webhook-timestamp": "1e9"}, "webhook-timestamp"),
        ({"webhook-timestamp": "-1"}, "webhook-timestamp"),
        ({"webhook-timestamp": "１７９５２１９２００"}, "webhook-timestamp"),
        ({"webhook-timestamp": "9" * 400}, "webhook-timestamp"),
        ({"webhook-signature": "v3,abc"}, "webhook-signature"),
        ({"webhook-signature": "v1a," + "A" * 86 + "=="}, "webhook-signature"),
        ({"webhook-signature": ""}, "webhook-signature"),
    ],
)
def test_what_is_wrong_with_a_delivery_is_named(change: dict[str, str], named: str) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        Verifier([new_v1_secret(KEY), v1a_public(SEED)]).verify(signed(Signer([KEY])) | change, BODY, NOW)
    assert caught.value.field == named


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(missing: str) -> None:
    sent = signed(Signer([KEY]))
    del sent[missing]
    with pytest.raises(SignatureInvalid, match=missing):
        Verifier([new_v1_secret(KEY)]).verify(sent, BODY, NOW)


@pytest.mark.parametrize("body", [b"", BODY + b" ", b'{"n":1}', BODY.replace(b"1", b"2")])
def test_another_body_does_not_verify(body: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="webhook-signature"):
        Verifier([new_v1_secret(KEY)]).verify(signed(Signer([KEY])), body, NOW)


@pytest.mark.parametrize("skew", [-300, 300])
def test_a_clock_five_minutes_off_is_tolerated(skew: int) -> None:
    Verifier([new_v1_secret(KEY)]).verify(signed(Signer([KEY])), BODY, NOW + skew)


@pytest.mark.parametrize(("skew", "words"), [(301, "too old"), (-301, "in the future"), (360, "too old")])
def test_a_replayed_or_early_delivery_is_refused(skew: int, words: str) -> None:
    with pytest.raises(SignatureInvalid, match=words):
        Verifier([new_v1_secret(KEY)]).verify(signed(Signer([KEY])), BODY, NOW + skew)


def test_a_signature_behind_sixteen_others_is_not_looked_at() -> None:
    good = signed(Signer([KEY]))["webhook-signature"]
    verifier = Verifier([new_v1_secret(KEY)])
    verifier.verify(headers(f"{'v1,AAAA ' * 15}{good}".encode()), BODY, NOW)
    with pytest.raises(SignatureInvalid):
        verifier.verify(headers(f"{'v1,AAAA ' * 16}{good}".encode()), BODY, NOW)


@pytest.mark.parametrize(("id_", "timestamp"), [(b"evt.1", b"1"), (b"evt", b"1.5")])
def test_a_dot_in_id_or_timestamp_is_refused(id_: bytes, timestamp: bytes) -> None:
    """Otherwise two deliveries could be told apart by nobody: ``a.b`` + ``1`` and ``a`` + ``b.1``."""
    with pytest.raises(SignatureInvalid):
        Signer([KEY]).sign(id_, timestamp, BODY)


def test_an_empty_body_is_signed() -> None:
    Verifier([new_v1_secret(KEY)]).verify(signed(Signer([KEY]), b""), b"", NOW)


def test_the_github_signature_is_the_hmac_of_the_body() -> None:
    expected = "sha256=" + new_hmac(b"any length", BODY, sha256).hexdigest()
    assert Signer([KEY], github_key=b"any length").sign_github(BODY) == expected.encode()
    assert Signer([KEY]).sign_github(BODY) is None


def test_a_github_key_alone_makes_no_standard_signature() -> None:
    assert Signer([], github_key=b"k").sign(b"evt_1", b"1", BODY) == b""


@pytest.mark.parametrize("length", [24, 32, 63, 64])
def test_a_secret_reads_back_as_its_key(length: int) -> None:
    assert parse_v1_secret(new_v1_secret(bytes(length))) == bytes(length)


def test_an_asymmetric_secret_reads_back_as_its_seed() -> None:
    assert parse_v1a_secret(new_v1a_secret(SEED)) == SEED
    assert len(parse_v1a_public(v1a_public(SEED))) == 32


SECRET_TEXT = b64encode(KEY).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET_TEXT,
        "v1,whsec_" + SECRET_TEXT,
        "whsec_",
        "whsec_not base64!",
        "whsec_" + SECRET_TEXT[:-1],
        "whsec_" + SECRET_TEXT + "\n",
        "whsec_" + b64encode(bytes(23)).decode(),
        "whsec_" + b64encode(bytes(65)).decode(),
        "whsec_é" + SECRET_TEXT,
        "WHSEC_" + SECRET_TEXT,
    ],
)
def test_a_malformed_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        parse_v1_secret(text)
    assert SECRET_TEXT[:8] not in str(caught.value)
    with pytest.raises(SignatureInvalid):
        Verifier([text])


def test_a_secret_with_the_version_before_it_is_told_what_to_drop() -> None:
    with pytest.raises(SignatureInvalid, match="without the v1, before it"):
        parse_v1_secret("v1,whsec_" + SECRET_TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "whsk_" + b64encode(SEED).decode(),
        "whsk_" + b64encode(SEED + SEED).decode(),
        "whsk_" + b64encode(bytes(96)).decode(),
        new_v1_secret(KEY),
    ],
)
def test_a_malformed_asymmetric_secret_is_refused(text: str) -> None:
    with pytest.raises(SignatureInvalid):
        parse_v1a_secret(text)


def test_a_public_key_of_another_length_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="31 bytes"):
        parse_v1a_public("whpk_" + b64encode(bytes(31)).decode())


@pytest.mark.parametrize("keys", [[bytes(23)], [bytes(65)], [KEY] * 9, []])
def test_a_signer_refuses_keys_it_cannot_use(keys: list[bytes]) -> None:
    with pytest.raises(SignatureInvalid):
        Signer(keys)


def test_a_signer_refuses_a_seed_of_another_length() -> None:
    with pytest.raises(SignatureInvalid, match="31 bytes"):
        Signer([KEY], [bytes(31)])


def test_a_verifier_needs_a_secret() -> None:
    with pytest.raises(SignatureInvalid):
        Verifier([])
