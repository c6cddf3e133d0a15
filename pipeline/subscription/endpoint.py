"""Where deliveries go and as whom: an endpoint and its authentication; checked when made."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.subscription.owned_headers import is_owned

# RFC 9110 §5.6.2 token, RFC 9110 §5.5 field value without controls.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_BEARER = re.compile(r"[\x21-\x7e]{0,8192}\Z")
_NO_CONTROLS = re.compile(r"[^\x00-\x1f\x7f]*\Z")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*\Z")


class NoAuth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """The signature alone says who sends."""


class BearerAuth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="bearer"):
    """``Authorization: Bearer <token>`` (RFC 6750 §2.1)."""

    token: str = ""


class BasicAuth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="basic"):
    """``Authorization: Basic …`` (RFC 7617)."""

    username: str
    password: str = ""


class OAuth2Auth(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="oauth2-client-credentials",
):
    """A bearer token asked for at ``token_url`` with the client's credentials (RFC 6749 §4.4), kept while it lasts."""

    token_url: str
    client_id: str
    client_secret: str = ""
    scope: str = ""
    audience: str = ""


class MtlsAuth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="mtls"):
    """A client certificate (PEM, with its chain) and its private key (PEM, not encrypted)."""

    certificate: str
    private_key: str = ""


Auth = NoAuth | BearerAuth | BasicAuth | OAuth2Auth | MtlsAuth
# The one field of each kind that is secret: declared, sealed in the row's secrets, never shown again.
AUTH_SECRETS = {BearerAuth: "token", BasicAuth: "password", OAuth2Auth: "client_secret", MtlsAuth: "private_key"}


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where deliveries go. ``timeout_s`` covers one attempt whole, ``connect_timeout_s`` its connection.

    ``headers`` are shown to whoever may read the subscription; ``secret_headers`` are sealed and never shown again.
    ``ca``: certificates (PEM) of a private authority that its certificate is checked with, instead of the system's.
    ``handshake``: ask for permission first (CloudEvents HTTP webhook, "Abuse protection").
    """

    url: str
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    secret_headers: dict[str, str] = msgspec.field(default_factory=dict)
    timeout_s: float = 15.0
    connect_timeout_s: float = 5.0
    auth: Auth = msgspec.field(default_factory=NoAuth)
    ca: str = ""
    handshake: bool = False

    def __post_init__(self) -> None:
        _check_url(self.url)
        _check_headers("headers", self.headers)
        _check_headers("secret_headers", self.secret_headers)
        if same := {name.lower() for name in self.headers} & {name.lower() for name in self.secret_headers}:
            raise DeclarationInvalid("/endpoint/secret_headers", sorted(same), "headers not also named in headers")
        _check_auth(self.auth, {name.lower() for name in (*self.headers, *self.secret_headers)})
        if self.ca and "-----BEGIN CERTIFICATE-----" not in self.ca:
            raise DeclarationInvalid("/endpoint/ca", "(hidden)", "certificates in PEM form")
        if not self.url.startswith("https:") and (self.ca or isinstance(self.auth, MtlsAuth)):
            raise DeclarationInvalid(
                "/endpoint/url", self.url, "an https URL, since it has a ca or a client certificate"
            )
        if not 0 < self.timeout_s <= 120:
            raise DeclarationInvalid("/endpoint/timeout_s", self.timeout_s, "more than 0 and at most 120 seconds")
        if not 0 < self.connect_timeout_s <= self.timeout_s:
            raise DeclarationInvalid(
                "/endpoint/connect_timeout_s", self.connect_timeout_s, "more than 0 and at most timeout_s"
            )


def without_secrets(endpoint: Endpoint) -> Endpoint:
    """``endpoint`` with ``""`` in the place of each declared secret."""
    field = AUTH_SECRETS.get(type(endpoint.auth))
    auth = endpoint.auth if field is None else msgspec.structs.replace(endpoint.auth, **{field: ""})
    return msgspec.structs.replace(endpoint, auth=auth, secret_headers=dict.fromkeys(endpoint.secret_headers, ""))


def _check_headers(field: str, headers: dict[str, str]) -> None:
    for name, value in headers.items():
        at = f"/endpoint/{field}/{name}"
        shown = value if field == "headers" else "(hidden)"
        if not _HEADER_NAME.match(name) or not _HEADER_VALUE.match(value):
            raise DeclarationInvalid(at, shown, "an RFC 9110 field name and a value of printable ASCII")
        if is_owned(name):
            raise DeclarationInvalid(at, shown, "a header that delivery does not set itself")


def _check_auth(auth: Auth, header_names: set[str]) -> None:
    """A secret may be empty here (it is sealed beside the declaration); what is there has to be sendable."""
    if isinstance(auth, BearerAuth | BasicAuth | OAuth2Auth) and "authorization" in header_names:
        raise DeclarationInvalid("/endpoint/headers/authorization", "(hidden)", "no such header beside auth")
    if isinstance(auth, BearerAuth) and not _BEARER.match(auth.token):
        raise DeclarationInvalid(
            "/endpoint/auth/token", "(hidden)", "an RFC 6750 token: printable ASCII without spaces"
        )
    if isinstance(auth, BasicAuth) and (":" in auth.username or not _NO_CONTROLS.match(auth.username + auth.password)):
        raise DeclarationInvalid("/endpoint/auth/username", auth.username, "RFC 7617: no colon, no control characters")
    if isinstance(auth, OAuth2Auth):
        _check_url(auth.token_url, "/endpoint/auth/token_url")
    if isinstance(auth, MtlsAuth) and "-----BEGIN CERTIFICATE-----" not in auth.certificate:
        raise DeclarationInvalid("/endpoint/auth/certificate", "(hidden)", "a certificate in PEM form")
    if isinstance(auth, MtlsAuth) and auth.private_key and "PRIVATE KEY-----" not in auth.private_key:
        raise DeclarationInvalid("/endpoint/auth/private_key", "(hidden)", "a private key in PEM form")


def _check_url(url: str, field: str = "/endpoint/url") -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        shown = "(hidden)" if "@" in url else url
        raise DeclarationInvalid(field, shown, "an absolute http or https URL") from None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not url.isascii()
        or re.search(r"[\x00-\x20\x7f]", url)
    ):
        shown = "(hidden)" if "@" in url else url
        raise DeclarationInvalid(field, shown, "an absolute http or https URL of printable ASCII")
    if parts.username is not None or parts.password is not None or parts.fragment:
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise DeclarationInvalid(
            field, shown, "a URL without user, password or fragment (put credentials into headers)"
        )
    if port == 0:
        raise DeclarationInvalid(field, url, "a port of 1 to 65535")
