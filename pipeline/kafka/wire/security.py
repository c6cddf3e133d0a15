"""Trust and credentials of `KafkaSettings.security` for connections of our own; the names are librdkafka's.

SCRAM and PLAIN are exchanges of bytes without IO here. Sources: RFC 5802 (SCRAM), RFC 7677 (SCRAM-SHA-256), RFC 4616
(PLAIN).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import Generator, Mapping
from pathlib import Path

from pipeline.errors import DeclarationInvalid

ITERATIONS_MAX = 1_000_000
"""A server may make the client compute this many hashes at most (RFC 5802 §9 leaves it to the client)."""

_HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class LoginRefused(Exception):
    """The broker does not take these credentials, or did not prove that it knows them."""


def tls_context(security: Mapping[str, str]) -> ssl.SSLContext | None:
    """How to wrap connections, or None for plain ones; raises `DeclarationInvalid` for files that cannot be used."""
    if not security.get("security.protocol", "plaintext").lower().endswith("ssl"):
        return None
    try:
        context = ssl.create_default_context(cadata=security.get("ssl.ca.pem"))
        if location := security.get("ssl.ca.location"):
            path = Path(location)
            context.load_verify_locations(**{"capath" if path.is_dir() else "cafile": location})
        if crl := security.get("ssl.crl.location"):
            context.load_verify_locations(crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if certificate := security.get("ssl.certificate.location"):
            password = security.get("ssl.key.password")
            context.load_cert_chain(certificate, security.get("ssl.key.location"), password)
        if ciphers := security.get("ssl.cipher.suites"):
            context.set_ciphers(ciphers)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise DeclarationInvalid("kafka.security", str(error), "readable PEM files and known ciphers") from None
    context.check_hostname = security.get("ssl.endpoint.identification.algorithm", "https") != "none"
    return context


def plain(username: str, password: str) -> Generator[bytes, bytes, None]:
    """Yields what to send, is sent what came (here nothing of interest)."""
    yield b"\0" + username.encode() + b"\0" + password.encode()


def scram(mechanism: str, username: str, password: str, nonce: str) -> Generator[bytes, bytes, None]:
    """Yields what to send, is sent what came; raises `LoginRefused` when the broker does not know the password, too.

    ``nonce``: drawn anew each time, printable ASCII without a comma.
    """
    name = _HASHES[mechanism]
    first = f"n={username.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
    challenge = (yield f"n,,{first}".encode()).decode(errors="replace")
    given = dict(part.split("=", 1) for part in challenge.split(",") if "=" in part)
    iterations = int(given["i"]) if given.get("i", "").isascii() and given.get("i", "").isdigit() else 0
    try:
        salt = base64.b64decode(given.get("s", ""), validate=True)
    except ValueError:
        salt = b""
    if not given.get("r", "").startswith(nonce) or not salt or not 4096 <= iterations <= ITERATIONS_MAX:
        raise LoginRefused("the broker's SCRAM challenge is malformed")
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
    final = f"c=biws,r={given['r']}"
    signed = f"{first},{challenge},{final}".encode()
    client_key = hmac.digest(salted, b"Client Key", name)
    signature = hmac.digest(hashlib.new(name, client_key).digest(), signed, name)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    verdict = yield f"{final},p={base64.b64encode(proof).decode()}".encode()
    expected = hmac.digest(hmac.digest(salted, b"Server Key", name), signed, name)
    if not hmac.compare_digest(verdict, b"v=" + base64.b64encode(expected)):
        raise LoginRefused("the broker did not prove that it knows the password")
