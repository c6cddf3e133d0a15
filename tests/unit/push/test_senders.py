"""What a row's sealed secrets become when it is delivered: signatures, header lines, TLS."""

from __future__ import annotations

import time
from typing import Any

import pytest
from standardwebhooks import Webhook

from pipeline.errors import DeclarationInvalid
from pipeline.push.senders import Unsealed
from pipeline.signing import RotatingSigner, Signer, new_v1_secret, new_v1a_secret
from pipeline.subscription import (
    BasicAuth,
    BearerAuth,
    Endpoint,
    MtlsAuth,
    SealedSecrets,
    Signing,
    StoredSubscription,
    Subscription,
)
from pipeline.webhook.auth import FixedLines, authorization_of

NEW, OLD = new_v1_secret(b"n" * 32), new_v1_secret(b"o" * 32)
V1A = new_v1a_secret(b"s" * 32)
ID, BODY = b"evt_aaaaaaaaaa_0_7", b'{"a":1}'


def row(secrets: SealedSecrets, signing: Signing | None = None, **endpoint: Any) -> StoredSubscription:
    spec = Subscription(
        name="s",
        topics=("orders",),
        endpoint=Endpoint(url="https://x.example/", **endpoint),
        signing=signing or Signing(),
    )
    return StoredSubscription(spec=spec, secrets=secrets)


def opened(stored: StoredSubscription) -> Unsealed:
    """Sealed texts stand for themselves here."""
    return Unsealed(stored, lambda text: text)


def verified(secret: str, signature: bytes, timestamp: int) -> object:
    headers = {"webhook-id": ID.decode(), "webhook-timestamp": str(timestamp), "webhook-signature": signature.decode()}
    return Webhook(secret).verify(BODY.decode(), headers)


def test_a_rotated_secret_signs_beside_the_new_one_until_it_retires() -> None:
    """S21: two signatures during the overlap, the newest first; one from that second on, by the same signer."""
    retire_s = 1_795_219_200
    signer = opened(row(SealedSecrets(v1=(NEW, OLD), retire_at_ms=retire_s * 1000))).signer()
    for at, both in ((retire_s - 1, True), (retire_s, False), (retire_s + 60, False)):
        signature = signer.sign(ID, b"%d" % at, BODY)
        assert signature.count(b"v1,") == 1 + both
        assert signature.startswith(Signer([b"n" * 32]).sign(ID, b"%d" % at, BODY))
        old = Signer([b"o" * 32]).sign(ID, b"%d" % at, BODY)
        assert (old in signature.split(b" ")) is both


def test_the_reference_library_takes_either_of_two_signatures() -> None:
    """S21, at the wall clock: the library asks no other."""
    now = int(time.time())
    signature = RotatingSigner([b"n" * 32, b"o" * 32], (), None, retire_at_ms=(now + 60) * 1000).sign(
        ID, b"%d" % now, BODY
    )
    assert verified(NEW, signature, now) == verified(OLD, signature, now) == {"a": 1}


def test_only_what_is_asked_for_signs() -> None:
    secrets = SealedSecrets(v1=(NEW,), v1a=(V1A,))
    kinds = {
        (signing.v1, signing.v1a, signing.github): opened(row(secrets, signing)).signer()
        for signing in (Signing(), Signing(v1=False, v1a=True), Signing(v1=False, github=True), Signing(v1a=True))
    }
    told = {asked: signer.sign(ID, b"1", BODY) for asked, signer in kinds.items()}
    assert told[True, False, False].startswith(b"v1,") and b"v1a," not in told[True, False, False]
    assert told[False, True, False].startswith(b"v1a,")
    assert told[False, False, True] == b""
    assert kinds[False, False, True].sign_github(BODY) == Signer((), (), b"n" * 32).sign_github(BODY)
    assert told[True, True, False].count(b" ") == 1


@pytest.mark.parametrize(
    ("auth", "secret", "line"),
    [
        (BearerAuth(), "canary", b"\r\nauthorization: Bearer canary"),
        (BasicAuth(username="me"), "p:w\u00fc", b"\r\nauthorization: Basic bWU6cDp3w7w="),
    ],
)
def test_a_credential_is_a_header_line(auth: Any, secret: str, line: bytes) -> None:
    endpoint = Endpoint(url="https://x.example/", auth=auth, handshake=True)
    made = authorization_of(endpoint, secret, {"X-Key": "k"}, outbound=None, clock=lambda: 0.0, origin="events.example")
    assert isinstance(made, FixedLines)
    assert made.lines() == b"\r\nx-key: k\r\nwebhook-request-origin: events.example" + line
    assert made.ready and not made.rejected(401)


def test_an_endpoint_without_credentials_has_no_lines() -> None:
    endpoint = Endpoint(url="https://x.example/")
    assert authorization_of(endpoint, "", {}, outbound=None, clock=lambda: 0.0, origin="events.example") is None


@pytest.mark.parametrize(
    ("auth", "field"),
    [(BearerAuth(), "token"), (MtlsAuth(certificate="-----BEGIN CERTIFICATE-----"), "private_key")],
)
def test_a_credential_that_is_missing_is_named_before_anything_is_sent(auth: Any, field: str) -> None:
    with pytest.raises(DeclarationInvalid, match=f"/endpoint/auth/{field}"):
        opened(row(SealedSecrets(v1=(NEW,)), auth=auth))
