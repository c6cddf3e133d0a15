from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.subscription import Endpoint, RetryPolicy, Signing, subscription_from

OK: dict[str, Any] = {"name": "orders", "topics": ["orders"], "endpoint": {"url": "https://x.example/hook"}}


def endpoint(**given: object) -> dict[str, Any]:
    return {**OK, "endpoint": {**OK["endpoint"], **given}}


def refused(declared: dict[Any, Any]) -> DeclarationInvalid:
    with pytest.raises(DeclarationInvalid) as caught:
        subscription_from(declared)
    return caught.value


def test_name_topics_and_url_are_enough() -> None:
    subscription = subscription_from(OK)
    assert subscription.topics == ("orders",)
    assert (subscription.start, subscription.format, subscription.ordering) == ("latest", "binary", "key")
    assert (subscription.signing, subscription.retry) == (Signing(), RetryPolicy())
    assert subscription.endpoint == Endpoint(url="https://x.example/hook")


@pytest.mark.parametrize(
    ("declared", "pointer", "nearest"),
    [
        ({**OK, "topic": "x"}, "/topic", "topics"),
        ({**OK, "retry": {"schedule": [1]}}, "/retry/schedule", "schedule_s"),
        ({**OK, "signing": {"gihub": True}}, "/signing/gihub", "github"),
        (endpoint(headrs={}), "/endpoint/headrs", "headers"),
        ({**OK, "a/b~c": 1}, "/a~1b~0c", None),
        ({**OK, "zzzzzzzz": 1}, "/zzzzzzzz", None),
    ],
)
def test_an_unknown_key_is_named_itself_with_the_nearest_known_one(
    declared: dict[str, Any], pointer: str, nearest: str | None
) -> None:
    error = refused(declared)
    assert error.field == pointer
    assert ("did you mean" in error.expected) is (nearest is not None)
    assert nearest is None or f"did you mean {nearest}?" in error.expected


@pytest.mark.parametrize(
    ("declared", "pointer", "shown", "expected"),
    [
        ({**OK, "topics": "orders"}, "/topics", "orders", "a list"),
        ({**OK, "topics": [1]}, "/topics/0", "1", "text"),
        ({**OK, "in_flight_max": "9"}, "/in_flight_max", "9", "a whole number"),
        ({**OK, "rate_per_s": "fast"}, "/rate_per_s", "fast", "a number or nothing"),
        ({**OK, "retry": {"schedule_s": [1, "x"]}}, "/retry/schedule_s/1", "x", "a number"),
        ({**OK, "format": "xml"}, "/format", "xml", "one of binary, structured, raw, batch, thin"),
        ({**OK, "signing": {"v1": "yes"}}, "/signing/v1", "yes", "true or false"),
        ({**OK, "filters": ["x"]}, "/filters/0", "x", "an object"),
        ({**OK, "endpoint": None}, "/endpoint", "None", "an object"),
        (endpoint(headers={"a": "b", "c": 3}), "/endpoint/headers/c", "(hidden)", "text"),
        (endpoint(method="GET"), "/endpoint/method", "GET", "one of POST, PUT"),
        ({5: 1}, "/5", "5", "a key that is text"),
        ({"name": "a", "topics": ["t"]}, "/endpoint", "absent", "the required key endpoint"),
        ({**OK, "endpoint": {}}, "/endpoint/url", "absent", "the required key url"),
    ],
)
def test_a_wrong_type_is_shown_with_what_would_be_right(
    declared: dict[Any, Any], pointer: str, shown: str, expected: str
) -> None:
    error = refused(declared)
    assert (error.field, error.value, error.expected) == (pointer, shown, expected)


@pytest.mark.parametrize(
    ("declared", "pointer"),
    [
        ({**OK, "name": "a.b"}, "/name"),
        ({**OK, "topics": []}, "/topics"),
        ({**OK, "topics": ["a", "a"]}, "/topics"),
        ({**OK, "topics": ["a", "b c"]}, "/topics/1"),
        ({**OK, "start": "yesterday"}, "/start"),
        ({**OK, "start": "2026-11-20T22:00:00"}, "/start"),
        ({**OK, "rate_per_s": 0}, "/rate_per_s"),
        ({**OK, "in_flight_max": 0}, "/in_flight_max"),
        ({**OK, "in_flight_max": 4097}, "/in_flight_max"),
        ({**OK, "retry": {"schedule_s": [-1]}}, "/retry/schedule_s"),
        ({**OK, "retry": {"schedule_s": [1] * 65}}, "/retry/schedule_s"),
        ({**OK, "retry": {"give_up_after_s": 0}}, "/retry/give_up_after_s"),
        ({**OK, "retry": {"reject_status": [410]}}, "/retry/reject_status"),
        ({**OK, "retry": {"reject_status": [200]}}, "/retry/reject_status"),
        (endpoint(timeout_s=0), "/endpoint/timeout_s"),
        (endpoint(timeout_s=1, connect_timeout_s=2), "/endpoint/connect_timeout_s"),
    ],
)
def test_what_a_subscription_may_not_be_is_named_by_its_pointer(declared: dict[str, Any], pointer: str) -> None:
    assert refused(declared).field == pointer


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x.example",
        "ftp://x.example/",
        "https://",
        "https:///path",
        "https://user@x.example/",
        "https://user:secret@x.example/",
        "https://x.example/#part",
        "https://x.example:0/",
        "https://x.example:99999/",
        "https://x.example/a b",
        "https://x.example/\r\nx: y",
        "https://é.example/",
        "https://[::1/",
        "file:///etc/passwd",
    ],
)
def test_an_endpoint_is_an_absolute_url_of_printable_ascii(url: str) -> None:
    assert refused(endpoint(url=url)).field == "/endpoint/url"


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "webhook-id",
        "CE-Type",
        "proxy-x",
        "x-hub-signature-256",
        "a b",
        "a:",
    ],
)
def test_headers_that_delivery_owns_cannot_be_overridden(name: str) -> None:
    """Threat S15."""
    assert refused(endpoint(headers={name: "x"})).field == f"/endpoint/headers/{name}"


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\0", "é", "\x7f"])
def test_header_values_are_printable_ascii(value: str) -> None:
    assert refused(endpoint(headers={"x": value})).field == "/endpoint/headers/x"


def test_headers_of_ones_own_are_taken() -> None:
    declared = endpoint(headers={"Authorization": "Bearer x", "hostname": "a", "x-tenant": ""})
    assert subscription_from(declared).endpoint.headers["Authorization"] == "Bearer x"
