from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import AddressBlocked, DeclarationInvalid
from pipeline.guard import Guard

VECTORS = Path(__file__).parents[1] / "vectors" / "ssrf"
ADDRESSES: dict[str, dict[str, str]] = json.loads((VECTORS / "addresses.json").read_text())
URLS: dict[str, Any] = json.loads((VECTORS / "urls.json").read_text())


@pytest.mark.parametrize("address", ADDRESSES["blocked"])
def test_an_address_that_is_not_on_the_public_internet_is_blocked(address: str) -> None:
    with pytest.raises(AddressBlocked) as caught:
        Guard().check_address("receiver.example", address)
    assert caught.value.host == "receiver.example"
    assert caught.value.address == address
    assert caught.value.rule


@pytest.mark.parametrize("address", ADDRESSES["allowed"])
def test_a_public_address_may_be_called(address: str) -> None:
    Guard().check_address("receiver.example", address)


@pytest.mark.parametrize("url", URLS["refused"])
def test_an_unusual_spelling_or_target_is_refused(url: str) -> None:
    with pytest.raises(AddressBlocked):
        Guard().check_url(url)


@pytest.mark.parametrize("url", URLS["refused"])
def test_no_setting_but_the_matching_one_lets_a_spelling_pass(url: str) -> None:
    """Everything an operator can open at once still refuses what has two readings."""
    guard = Guard(["0.0.0.0/0", "::/0"], allow_loopback=True, allow_http=True, ports=frozenset(range(65536)))
    try:
        target = guard.check_url(url)
    except AddressBlocked:
        return
    canonical = url.startswith(("https://", "http://")) and f"//{target.authority}/" in url + "/"
    assert canonical or target.authority in ("example.com:22", "example.com:25"), target


@pytest.mark.parametrize(("url", "expected"), URLS["accepted"].items())
def test_an_accepted_url_leads_exactly_where_it_says(url: str, expected: list[Any]) -> None:
    target = Guard().check_url(url)
    assert [target.host, target.port, target.path, target.authority] == expected
    assert target.tls


def test_plain_http_needs_its_setting() -> None:
    target = Guard(allow_http=True).check_url("http://example.com/x")
    assert (target.tls, target.port, target.authority) == (False, 80, "example.com")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "http://[::1]:8080/", "http://localhost:8080/"])
def test_loopback_by_plain_http_needs_allow_loopback_and_nothing_else(url: str) -> None:
    Guard(allow_loopback=True).check_url(url)
    with pytest.raises(AddressBlocked):
        Guard().check_url(url)


def test_allow_loopback_opens_no_plain_http_elsewhere() -> None:
    with pytest.raises(AddressBlocked, match="use https"):
        Guard(allow_loopback=True).check_url("http://example.com/")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_allow_loopback_opens_every_form_of_loopback(address: str) -> None:
    Guard(allow_loopback=True).check_address("localhost", address)


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "0.0.0.0", "::", "64:ff9b::7f00:1"])  # noqa: S104 - an address to refuse
def test_allow_loopback_opens_nothing_else(address: str) -> None:
    with pytest.raises(AddressBlocked):
        Guard(allow_loopback=True).check_address("x.example", address)


def test_a_name_that_says_localhost_must_mean_it() -> None:
    with pytest.raises(AddressBlocked, match="no loopback"):
        Guard(allow_loopback=True).check_address("localhost", "8.8.8.8")


def test_the_allow_list_opens_its_networks_and_no_more() -> None:
    guard = Guard(["10.1.0.0/16", "fd00:1::/32"])
    guard.check_address("x.internal", "10.1.2.3")
    guard.check_address("x.internal", "::ffff:10.1.2.3")
    guard.check_address("x.internal", "fd00:1::5")
    with pytest.raises(AddressBlocked):
        guard.check_address("x.internal", "10.2.0.1")


def test_an_allow_list_entry_that_is_no_network_is_named() -> None:
    with pytest.raises(DeclarationInvalid, match=r"10\.1\.2\.3/16"):
        Guard(["10.1.2.3/16"])


def test_only_listed_ports_may_be_called() -> None:
    guard = Guard(ports=frozenset({443}))
    guard.check_url("https://example.com/")
    with pytest.raises(AddressBlocked, match="port 8443"):
        guard.check_url("https://example.com:8443/")


def test_what_the_resolver_says_must_be_an_address() -> None:
    with pytest.raises(AddressBlocked, match="not an address"):
        Guard().check_address("x.example", "elsewhere.example")


@pytest.mark.parametrize("url", ["https://user@example.com/", "https://u:p@example.com/", "https://@example.com/"])
def test_credentials_in_a_url_are_told_where_to_go(url: str) -> None:
    with pytest.raises(AddressBlocked, match="user information, which belongs into a header"):
        Guard().check_url(url)
