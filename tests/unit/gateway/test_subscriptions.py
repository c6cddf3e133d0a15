"""Subscriptions over HTTP: statuses, entity tags, pointers, and secrets shown once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.house import GatewayHouse
from tests.unit.gateway.answered import pointers_of, problem_of

HOOK = "/v1/subscriptions/hook"
DECLARED: dict[str, Any] = {
    "topics": ["orders"],
    "start": "earliest",
    "endpoint": {"url": "https://hooks.example.org/in"},
}


@pytest.fixture
def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 2)
    house.log.append("orders", b"x", partition=0)
    return house


async def test_making_it_shows_its_secret_this_once(house: GatewayHouse) -> None:
    made = await house.call("PUT", HOOK, json_body=DECLARED)
    assert made.status == 201
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    later = [
        await house.call("PUT", HOOK, json_body=DECLARED),
        await house.call("PUT", HOOK, json_body={**DECLARED, "in_flight_max": 7}),
        await house.call("GET", HOOK),
        await house.call("GET", "/v1/subscriptions"),
        await house.call("POST", f"{HOOK}/pause"),
    ]
    assert [answer.status for answer in later] == [200] * 5
    assert not [answer for answer in later if b"whsec_" in answer.body or b"sealed1" in answer.body]
    assert secret.encode() not in house.subscription_rows.content["hook"].value


async def test_a_subscription_tells_how_it_stands(house: GatewayHouse) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    answer = await house.call("GET", HOOK)
    shown = answer.json()
    assert (shown["state"], shown["group"], shown["dead_letter_topic"]) == ("active", "app.hook", "app.hook.dlq")
    assert (shown["lag"], shown["headroom"]) == (1, 0)
    assert shown["endpoint"]["url"] == "https://hooks.example.org/in"


async def test_an_edit_must_be_based_on_what_is_there_if_it_says_so(house: GatewayHouse) -> None:
    made = await house.call("PUT", HOOK, json_body=DECLARED)
    edited = {**DECLARED, "in_flight_max": 7}
    good = await house.call("PUT", HOOK, json_body=edited, headers={"if-match": made.headers["etag"]})
    assert good.status == 200 and good.headers["etag"] != made.headers["etag"]
    stale = await house.call("PUT", HOOK, json_body=DECLARED, headers={"if-match": made.headers["etag"]})
    assert problem_of(stale) == (412, "version-conflict")
    absent = await house.call("PUT", "/v1/subscriptions/new", json_body=DECLARED, headers={"if-match": "*"})
    assert problem_of(absent) == (412, "version-conflict")


async def test_every_unknown_key_is_named(house: GatewayHouse) -> None:
    body = {**DECLARED, "topic": 1, "colour": 2, "endpoint": {"url": "https://x.example.org", "verb": "PUT"}}
    answer = await house.call("PUT", HOOK, json_body=body)
    assert problem_of(answer) == (422, "declaration-invalid")
    assert sorted(pointers_of(answer)) == ["/colour", "/endpoint/verb", "/topic"]
    (near,) = [one["detail"] for one in answer.json()["errors"] if one["pointer"] == "/topic"]
    assert "did you mean topics?" in near


@pytest.mark.parametrize(
    ("change", "expected", "pointer"),
    [
        ({"topics": ["absent"]}, (422, "declaration-invalid"), "/topics/0"),
        ({"topics": ["orders", "_pipeline-runs"]}, (422, "declaration-invalid"), "/topics/1"),
        ({"name": "other"}, (422, "declaration-invalid"), "/name"),
        ({"ordering": "random"}, (422, "declaration-invalid"), "/ordering"),
        ({"retry": {"give_up_after_s": 0}}, (422, "declaration-invalid"), "/retry/give_up_after_s"),
        ({"signing": {"v1": False}}, (422, "declaration-invalid"), "/signing"),
        ({"filters": [{"sql": "1=1"}]}, (400, "filter-invalid"), "/filters/0/sql"),
    ],
)
async def test_what_does_not_check_is_named_and_nothing_is_made(
    house: GatewayHouse, change: dict[str, Any], expected: tuple[int, str], pointer: str
) -> None:
    answer = await house.call("PUT", HOOK, json_body={**DECLARED, **change})
    assert problem_of(answer) == expected
    assert pointers_of(answer) == [pointer]
    assert not house.subscription_rows.content and "app.hook.dlq" not in house.log.topics


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://169.254.169.254/", "http://hooks.example.org/", "https://[::1]/"]
)
async def test_an_address_that_may_not_be_called_is_422(house: GatewayHouse, url: str) -> None:
    answer = await house.call("PUT", HOOK, json_body={**DECLARED, "endpoint": {"url": url}})
    assert problem_of(answer) == (422, "address-blocked")


async def test_pause_and_resume_change_state_and_entity_tag(house: GatewayHouse) -> None:
    made = await house.call("PUT", HOOK, json_body=DECLARED)
    paused = await house.call("POST", f"{HOOK}/pause")
    assert paused.json()["state"] == "paused" and paused.headers["etag"] != made.headers["etag"]
    assert (await house.call("POST", f"{HOOK}/resume")).json()["state"] == "active"


async def test_deleting_keeps_the_offsets_unless_told_to_forget(house: GatewayHouse) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    assert (await house.call("DELETE", HOOK)).status == 204
    assert "app.hook" in house.offsets.committed
    await house.call("PUT", HOOK, json_body=DECLARED)
    assert (await house.call("DELETE", f"{HOOK}?forget=true")).status == 204
    assert "app.hook" not in house.offsets.committed
    assert problem_of(await house.call("DELETE", HOOK)) == (404, "subscription-not-found")


async def test_they_are_listed_by_name_a_page_at_a_time(house: GatewayHouse) -> None:
    for name in ("b", "a", "c"):
        await house.call("PUT", f"/v1/subscriptions/{name}", json_body=DECLARED)
    first = (await house.call("GET", "/v1/subscriptions?limit=2")).json()
    assert [one["name"] for one in first["subscriptions"]] == ["a", "b"] and first["next"] == "b"
    rest = (await house.call("GET", "/v1/subscriptions?after=b")).json()
    assert [one["name"] for one in rest["subscriptions"]] == ["c"] and rest["next"] is None


@pytest.mark.parametrize("name", ["nobody", "a.b", "a%20b"])
async def test_one_that_does_not_exist_is_404(house: GatewayHouse, name: str) -> None:
    for method, end in (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("GET", "/dead-letters")):
        answer = await house.call(method, f"/v1/subscriptions/{name}{end}")
        assert problem_of(answer) == (404, "subscription-not-found")
