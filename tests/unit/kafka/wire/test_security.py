"""Logins against published exchanges, and trust that is refused when its files cannot be used."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.kafka.wire.security import ITERATIONS_MAX, LoginRefused, plain, scram, tls_context

# RFC 7677 §3: user "user", password "pencil".
NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
VERDICT = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_scram_says_what_rfc_7677_says() -> None:
    exchange = scram("SCRAM-SHA-256", "user", "pencil", NONCE)
    assert next(exchange) == b"n,,n=user,r=" + NONCE.encode()
    assert exchange.send(CHALLENGE) == FINAL
    with pytest.raises(StopIteration):
        exchange.send(VERDICT)


def test_a_broker_that_does_not_know_the_password_is_refused() -> None:
    exchange = scram("SCRAM-SHA-256", "user", "pencil", NONCE)
    next(exchange)
    exchange.send(CHALLENGE)
    with pytest.raises(LoginRefused, match="did not prove"):
        exchange.send(b"v=" + b"A" * 43 + b"=")


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=AAAA,i=4096",
        CHALLENGE.replace(b"4096", b"1"),
        CHALLENGE.replace(b"4096", b"%d" % (ITERATIONS_MAX + 1)),
        CHALLENGE.replace(b"4096", b"many"),
        CHALLENGE.replace(b"4096", b"\xc2\xb2"),
        CHALLENGE.replace(b"W22", b"\xff!"),
    ],
)
def test_a_challenge_that_is_none_or_asks_too_much_is_refused(challenge: bytes) -> None:
    exchange = scram("SCRAM-SHA-256", "user", "pencil", NONCE)
    next(exchange)
    with pytest.raises(LoginRefused, match="malformed"):
        exchange.send(challenge)


def test_a_user_name_may_hold_what_scram_separates_with() -> None:
    assert next(scram("SCRAM-SHA-512", "a=b,c", "x", "n")) == b"n,,n=a=3Db=2Cc,r=n"


def test_plain_is_one_message() -> None:
    exchange = plain("user", "pencil")
    assert next(exchange) == b"\0user\0pencil"
    with pytest.raises(StopIteration):
        exchange.send(b"")


@pytest.mark.parametrize("protocol", ["plaintext", "PLAINTEXT", "sasl_plaintext"])
def test_plain_connections_are_not_wrapped(protocol: str) -> None:
    assert tls_context({"security.protocol": protocol}) is None
    assert tls_context({}) is None


def test_tls_checks_the_certificate_and_the_name_unless_told_otherwise() -> None:
    context = tls_context({"security.protocol": "SASL_SSL"})
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    context = tls_context({"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "none"})
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)


@pytest.mark.parametrize(
    "key", ["ssl.ca.location", "ssl.certificate.location", "ssl.crl.location", "ssl.ca.pem", "ssl.cipher.suites"]
)
def test_what_cannot_be_used_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationInvalid):
        tls_context({"security.protocol": "ssl", key: str(tmp_path / "nothing")})
