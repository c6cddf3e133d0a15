"""S22: a declaration that does not check is refused without repeating what may be a secret."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.subscription import subscription_from

CANARY = "31415926"
OAUTH2 = {"kind": "oauth2-client-credentials", "token_url": "https://x.example/", "client_id": "me"}


@pytest.mark.parametrize(
    "endpoint",
    [
        {"auth": {"kind": "bearer", "token": int(CANARY)}},
        {"auth": {"kind": "bearer", "token": f"a {CANARY}"}},
        {"auth": {"kind": "basic", "username": "me", "password": {"x": CANARY}}},
        {"auth": {"kind": "basic", "username": "me", "password": f"{CANARY}\n"}},
        {"auth": OAUTH2 | {"client_secret": [CANARY]}},
        {"auth": {"kind": "mtls", "certificate": CANARY}},
        {"auth": {"kind": "mtls", "certificate": "-----BEGIN CERTIFICATE-----", "private_key": CANARY}},
        {"auth": {"kind": "nope", "token": CANARY}},
        {"auth": {"kind": "bearer", "tokn": CANARY}},
        {"auth": CANARY},
        {"secret_headers": {"x-key": int(CANARY)}},
        {"secret_headers": {"x-key": f"{CANARY}\n"}},
        {"secret_headers": {"host": CANARY}},
        {"secret_headers": CANARY},
        {"headers": {"authorization": int(CANARY)}},
        {"ca": CANARY},
        {"url": f"https://me:{CANARY}@x.example/"},
        {"url": f"ftp://me:{CANARY}@x.example/"},
        {"url": f"https://me:{CANARY}@x.example:port/"},
    ],
)
def test_a_secret_of_a_wrong_form_is_not_repeated(endpoint: dict[str, Any]) -> None:
    declared = {"name": "s", "topics": ["orders"], "endpoint": {"url": "https://x.example/"} | endpoint}
    with pytest.raises(DeclarationInvalid) as caught:
        subscription_from(declared)
    assert CANARY not in str(caught.value)
    assert caught.value.field.startswith("/endpoint/")


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "connection", "webhook-id", "ce-id", "TE"]
)
@pytest.mark.parametrize("where", ["headers", "secret_headers"])
def test_headers_of_delivery_are_not_an_endpoints_to_set(where: str, name: str) -> None:
    """S15: the deny list holds for both kinds of headers, in any case."""
    endpoint = {"url": "https://x.example/", where: {name: "x"}}
    with pytest.raises(DeclarationInvalid, match=f"/endpoint/{where}/{name}"):
        subscription_from({"name": "s", "topics": ["orders"], "endpoint": endpoint})


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0b", "\u00fc"])
def test_a_header_value_cannot_begin_another_header(value: str) -> None:
    """S14, S15."""
    endpoint = {"url": "https://x.example/", "headers": {"x-a": value}}
    with pytest.raises(DeclarationInvalid, match="/endpoint/headers/x-a"):
        subscription_from({"name": "s", "topics": ["orders"], "endpoint": endpoint})
