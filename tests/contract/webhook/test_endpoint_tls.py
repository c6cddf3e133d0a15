"""A private authority and a client certificate of one endpoint's own."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.errors import DeclarationInvalid, HandshakeRefused
from pipeline.guard import Guard
from pipeline.subscription import Auth, Endpoint, MtlsAuth, NoAuth, Subscription
from pipeline.webhook.admission import Admission
from pipeline.webhook.outbound import Outbound
from pipeline.webhook.tls import endpoint_tls
from tests.contract.webhook.conftest import NO_CONTENT, Authority, MakeSender, Toxic, certificate, read_request

PEM = serialization.Encoding.PEM


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(NO_CONTENT)


def ca_of(authority: Authority) -> str:
    return Path(authority.ca_file).read_text()


def client_pair() -> tuple[str, str]:
    """A self-signed client certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sender")])
    made = certificate(name, name, key, key, None)
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return made.public_bytes(PEM).decode(), key.private_bytes(PEM, form, encryption).decode()


async def test_an_endpoints_own_authority_is_believed_and_no_other(
    toxic: Toxic, make_sender: MakeSender, authority: Authority
) -> None:
    url = await toxic.serve(answer_all, tls=authority.server_tls("127.0.0.1"))
    own = endpoint_tls(ca_of(authority), "", "")
    assert isinstance(await make_sender(url, tls=own).send(), Reply)
    other = endpoint_tls(client_pair()[0], "", "")
    outcome = await make_sender(url, tls=other).send()
    assert isinstance(outcome, Fault) and outcome.kind is FaultKind.TLS


async def test_a_client_certificate_is_shown_and_its_key_leaves_no_file(
    toxic: Toxic, make_sender: MakeSender, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "private"))
    (tmp_path / "private").mkdir()
    shown, key = client_pair()
    server = authority.server_tls("127.0.0.1")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=shown)
    url = await toxic.serve(answer_all, tls=server)
    ca = ca_of(authority)
    assert isinstance(await make_sender(url, tls=endpoint_tls(ca, shown, key)).send(), Reply)
    assert not isinstance(await make_sender(url, tls=endpoint_tls(ca, "", "")).send(), Reply)
    assert list((tmp_path / "private").iterdir()) == []


async def test_a_handshake_shows_the_client_certificate(toxic: Toxic, authority: Authority) -> None:
    async def grant(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\nwebhook-allowed-origin: *\r\n\r\n")
        await writer.drain()

    shown, key = client_pair()
    server = authority.server_tls("127.0.0.1")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=shown)
    url = await toxic.serve(grant, tls=server)
    guard = Guard(allow_loopback=True)
    admission = Admission(guard, Outbound(guard), origin="events.example")

    def declared(auth: Auth) -> Subscription:
        endpoint = Endpoint(url=url, handshake=True, ca=ca_of(authority), auth=auth)
        return Subscription(name="s", topics=("orders",), endpoint=endpoint)

    assert await admission.admit(declared(MtlsAuth(certificate=shown, private_key=key))) is None
    with pytest.raises(HandshakeRefused):
        await admission.admit(declared(NoAuth()))


def test_a_key_that_does_not_fit_is_refused_and_not_shown() -> None:
    """S22: errors about certificates never carry the key."""
    shown, _ = client_pair()
    _, other = client_pair()
    for key in (other, "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----", ""):
        with pytest.raises(DeclarationInvalid) as caught:
            endpoint_tls("", shown, key)
        assert caught.value.field == "/endpoint/auth/private_key"
        assert "BEGIN" not in str(caught.value) and "canary" not in str(caught.value)


def test_a_ca_that_is_none_is_named() -> None:
    with pytest.raises(DeclarationInvalid, match="/endpoint/ca"):
        endpoint_tls("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----", "", "")


def test_an_endpoint_with_neither_uses_the_operators_settings() -> None:
    assert endpoint_tls("", "", "") is None
