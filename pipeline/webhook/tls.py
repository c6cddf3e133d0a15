"""TLS towards endpoints: whose certificates are believed, and which one we show.

Client keys are secrets that OpenSSL takes from files only: they pass through a file that nobody else may read and that
is gone before the call returns. Authorities are given in memory.
"""

from __future__ import annotations

import functools
import ssl
import tempfile

from pipeline.errors import DeclarationInvalid


@functools.lru_cache(maxsize=64)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, certificate and name verified against the system's authorities or those in `ca_file`.

    One context serves all senders: loading the authorities takes tens of milliseconds.
    """
    return _strict(ssl.create_default_context(cafile=ca_file))


def endpoint_tls(ca: str, certificate: str, private_key: str, *, ca_file: str | None = None) -> ssl.SSLContext | None:
    """The context of an endpoint with authorities (``ca``) or a client certificate of its own (PEM texts, empty for
    none); None when it has neither. ``ca_file`` serves where ``ca`` is empty.

    Raises `DeclarationInvalid`, which never shows the key.
    """
    if not ca and not certificate:
        return None
    try:
        context = ssl.create_default_context(cadata=ca) if ca else ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, ValueError):
        raise DeclarationInvalid("/endpoint/ca", "(hidden)", "certificates in PEM form") from None
    if certificate:
        _show(context, certificate, private_key)
    return _strict(context)


def _show(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    if not private_key:
        raise DeclarationInvalid("/endpoint/auth/private_key", "(absent)", "the private key of the certificate")
    # mkstemp's files are 0600 from the start.
    with tempfile.NamedTemporaryFile("w", encoding="ascii", errors="replace", prefix="pipeline-", suffix=".pem") as pem:
        pem.write(f"{certificate.rstrip()}\n{private_key.rstrip()}\n")
        pem.flush()
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(pem.name, password="")
        except (ssl.SSLError, ValueError):
            raise DeclarationInvalid(
                "/endpoint/auth/private_key", "(hidden)", "the certificate's own private key in PEM form, not encrypted"
            ) from None


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
