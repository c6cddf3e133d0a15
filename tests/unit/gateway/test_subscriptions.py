"""Subscriptions over HTTP: statuses, entity tags, pointers, and secrets shown once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.delivery.pointer import Pointer
from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.errors import AddressBlocked
from pipeline.push.attempt import Attempt
from tests.fakes.house import ATTEMPTS, EVENTS, GatewayHouse
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


async def test_one_that_must_be_new_changes_nothing_that_is_there(house: GatewayHouse) -> None:
    new = {"if-none-match": "*"}
    made = await house.call("PUT", HOOK, json_body=DECLARED, headers=new)
    assert made.status == 201
    for again in (DECLARED, {**DECLARED, "in_flight_max": 7}):
        assert problem_of(await house.call("PUT", HOOK, json_body=again, headers=new)) == (412, "version-conflict")
    assert (await house.call("GET", HOOK)).headers["etag"] == made.headers["etag"]
    tagged = await house.call("PUT", HOOK, json_body=DECLARED, headers={"if-none-match": made.headers["etag"]})
    assert problem_of(tagged) == (400, "input-invalid") and "If-None-Match" in tagged.json()["detail"]


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


async def test_every_fault_is_pointed_at_and_no_secret_repeated(house: GatewayHouse) -> None:
    endpoint = {"url": "ftp://x", "auth": {"kind": "bearer", "token": ["canary-1"]}}
    body = {"topics": ["orders", "_x"], "endpoint": endpoint, "filters": [{"sql": "1"}], "rate_per_s": -1}
    answer = await house.call("PUT", HOOK, json_body=body)
    assert problem_of(answer) == (422, "declaration-invalid")
    assert sorted(pointers_of(answer)) == [
        "/endpoint/auth/token",
        "/endpoint/url",
        "/filters/0/sql",
        "/rate_per_s",
        "/topics/1",
    ]
    assert b"canary" not in answer.body


async def test_every_topic_that_is_absent_is_pointed_at(house: GatewayHouse) -> None:
    answer = await house.call("PUT", HOOK, json_body={**DECLARED, "topics": ["no-1", "orders", "no-2"]})
    assert pointers_of(answer) == ["/topics/0", "/topics/2"]


async def test_a_blocked_address_is_pointed_at(house: GatewayHouse) -> None:
    answer = await house.call("PUT", HOOK, json_body={**DECLARED, "endpoint": {"url": "https://127.0.0.1/"}})
    assert problem_of(answer) == (422, "address-blocked") and pointers_of(answer) == ["/endpoint/url"]


@pytest.mark.parametrize(
    ("host", "pointer"), [("hooks.example.org", "/endpoint/url"), ("id.example.org", "/endpoint/auth/token_url")]
)
async def test_a_name_that_leads_to_a_blocked_address_is_pointed_at(
    house: GatewayHouse, host: str, pointer: str
) -> None:
    auth = {
        "kind": "oauth2-client-credentials",
        "token_url": "https://id.example.org/token",
        "client_id": "x",
        "client_secret": "y",
    }
    house.admission.blocks = AddressBlocked(host, "10.0.0.1", "private")
    endpoint = {"url": "https://hooks.example.org/in", "auth": auth}
    answer = await house.call("PUT", HOOK, json_body={**DECLARED, "endpoint": endpoint})
    assert problem_of(answer) == (422, "address-blocked") and pointers_of(answer) == [pointer]


async def test_a_handshake_that_is_refused_is_409_and_nothing_is_made(house: GatewayHouse) -> None:
    house.admission.refuses = "the endpoint allows another origin"
    answer = await house.call("PUT", HOOK, json_body=DECLARED)
    assert problem_of(answer) == (409, "handshake-refused")
    assert not house.subscription_rows.content


async def test_what_a_handshake_allows_is_stored_and_shown(house: GatewayHouse) -> None:
    house.admission.allows = 120
    assert (await house.call("PUT", HOOK, json_body=DECLARED)).json()["allowed_rate_per_min"] == 120
    assert house.row_of("hook").allowed_rate_per_min == 120


async def test_secrets_of_an_endpoint_are_never_shown(house: GatewayHouse) -> None:
    endpoint = {
        "url": "https://hooks.example.org/in",
        "headers": {"x-api-key": "canary-1", "x-tenant": "acme"},
        "secret_headers": {"x-more": "canary-2"},
        "auth": {"kind": "basic", "username": "u", "password": "canary-3"},
    }
    answers = [
        await house.call("PUT", HOOK, json_body={**DECLARED, "endpoint": endpoint}),
        await house.call("GET", HOOK),
        await house.call("GET", "/v1/subscriptions"),
        await house.call("POST", f"{HOOK}/pause"),
        await house.call("POST", f"{HOOK}/rotate-secret"),
    ]
    assert [answer.status for answer in answers] == [201, 200, 200, 200, 200]
    assert not [answer for answer in answers if b"canary" in answer.body]
    shown = answers[1].json()["endpoint"]
    assert shown["auth"] == {"kind": "basic", "username": "u", "password": ""}
    assert shown["secret_headers"] == {"x-api-key": "", "x-more": ""} and shown["headers"] == {"x-tenant": "acme"}
    assert "canary" not in str(house.audit.lines) + str(house.happenings.lines)
    edited = {**DECLARED, "endpoint": shown, "in_flight_max": 5}
    assert (await house.call("PUT", HOOK, json_body=edited)).status == 200


async def test_a_rotated_secret_is_shown_this_once(house: GatewayHouse) -> None:
    made = await house.call("PUT", HOOK, json_body=DECLARED)
    turned = await house.call("POST", f"{HOOK}/rotate-secret")
    assert turned.status == 200 and turned.headers["etag"] != made.headers["etag"]
    assert turned.json()["secret"].startswith("whsec_") and turned.json()["secret"] != made.json()["secret"]
    assert b"whsec_" not in (await house.call("GET", HOOK)).body
    stale = await house.call("POST", f"{HOOK}/rotate-secret", headers={"if-match": made.headers["etag"]})
    assert problem_of(stale) == (412, "version-conflict")
    bad = await house.call("POST", f"{HOOK}/rotate-secret", json_body={"overlap_s": -1})
    assert problem_of(bad) == (422, "declaration-invalid") and pointers_of(bad) == ["/overlap_s"]


async def test_a_test_sends_one_example_and_says_what_came_back(house: GatewayHouse) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    answer = await house.call("POST", f"{HOOK}/test")
    assert answer.status == 200
    told = answer.json()
    assert (told["delivered"], told["status"], told["ms"], told["excerpt"]) == (True, 204, 12, "")
    (sent,) = house.endpoint.got
    assert sent.header("ce_type") == b"pipeline.subscription.test"
    assert told["webhook_id"].startswith("test_") and sent.header("ce_id") == told["webhook_id"].encode()
    assert house.endpoint.closed == 1 and house.audit.of("subscription-tested")


async def test_what_an_endpoint_echoes_is_shown_without_secrets_and_short(house: GatewayHouse) -> None:
    endpoint = {"url": "https://x.example.org/", "auth": {"kind": "bearer", "token": "canary-token"}}
    await house.call("PUT", HOOK, json_body={**DECLARED, "endpoint": endpoint})
    echoed = b'{"authorization": "Bearer canary-token", "other": "basic Y2FuYXJ5"}' + b"x" * 600 + b"canary-to"
    house.endpoint.answer = Reply(500, None, 0.2, echoed)
    told = (await house.call("POST", f"{HOOK}/test")).json()
    assert (told["delivered"], told["status"]) == (False, 500)
    assert "canary" not in told["excerpt"] and "Y2FuYXJ5" not in told["excerpt"] and len(told["excerpt"]) == 512
    house.endpoint.answer = Reply(500, None, 0.2, b"cut in the middle: canary-to")
    assert "canary" not in (await house.call("POST", f"{HOOK}/test")).json()["excerpt"]
    house.endpoint.answer = Fault(FaultKind.CONNECT, "refused", 0.1)
    told = (await house.call("POST", f"{HOOK}/test")).json()
    assert (told["status"], told["fault"], told["detail"]) == (None, "connect", "refused")


@pytest.mark.parametrize(
    ("path", "body", "pointer", "told"),
    [
        ("reset", {"offsets": {"orders": {"first": 0}}}, "/offsets/orders", "a whole number"),
        ("reset", {"shift": "back"}, "/shift", "'back' is not usable; expected a whole number"),
        ("reset", {"shfit": 1}, "/shfit", "did you mean shift?"),
        ("replays", {"from": "earliest", "rate_per_s": "fast"}, "/rate_per_s", "expected a number"),
        ("replays", {"form": "earliest"}, "/form", "did you mean from?"),
    ],
)
async def test_a_member_that_cannot_be_is_told_with_its_value(
    house: GatewayHouse, path: str, body: dict[str, object], pointer: str, told: str
) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    refused = await house.call("POST", f"{HOOK}/{path}", json_body=body)
    assert problem_of(refused) == (422, "declaration-invalid")
    assert pointers_of(refused) == [pointer]
    assert told in refused.json()["detail"]


async def test_a_reset_is_a_plan_unless_it_says_otherwise(house: GatewayHouse) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    plan = await house.call("POST", f"{HOOK}/reset", json_body={"to": "latest"})
    assert plan.status == 200 and plan.json()["dry_run"] is True
    assert [(part["from"], part["to"], part["count"]) for part in plan.json()["parts"]] == [(0, 1, 1), (0, 0, 0)]
    assert plan.json()["commands"][0].startswith("kafka-consumer-groups ")
    assert house.offsets.committed["app.hook"]["orders", 0].offset == 0
    done = await house.call("POST", f"{HOOK}/reset", json_body={"to": "latest", "dry_run": False})
    assert (done.json()["dry_run"], done.json()["taken_up"]) == (False, True)
    assert house.offsets.committed["app.hook"]["orders", 0].offset == 1
    back = await house.call("POST", f"{HOOK}/reset", json_body={"offsets": {"orders": {"0": 0}}, "dry_run": False})
    assert (back.status, house.offsets.committed["app.hook"]["orders", 0].offset) == (200, 0)
    beyond = await house.call("POST", f"{HOOK}/reset", json_body={"shift": 5, "dry_run": False})
    assert problem_of(beyond) == (409, "would-clamp")
    assert pointers_of(beyond) == ["/offsets/orders/0", "/offsets/orders/1"]


async def test_attempts_are_told_the_newest_first(house: GatewayHouse) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    house.log.create(ATTEMPTS)
    for number, status in enumerate((503, 204)):
        line = Attempt("hook", "orders", 0, 0, "evt_1", number + 1, status, "retry", 5, 1_000 + number)
        house.log.append(ATTEMPTS, msgspec.json.encode(line), key=b"hook")
    told = (await house.call("GET", f"{HOOK}/attempts")).json()
    assert [one["status"] for one in told["attempts"]] == [204, 503] and told["next"] is None
    assert len((await house.call("GET", f"{HOOK}/attempts?status=503")).json()["attempts"]) == 1
    assert (await house.call("GET", HOOK)).json()["last_attempt"]["status"] == 204
    assert problem_of(await house.call("GET", f"{HOOK}/attempts?status=bad")) == (400, "input-invalid")


async def test_one_whose_endpoint_is_down_is_probing(house: GatewayHouse) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    house.log.create(EVENTS)
    headers = (("ce_type", b"pipeline.subscription.probing"), ("ce_subject", b"hook"))
    house.log.append(EVENTS, b'{"worker": "w1"}', headers=headers)
    assert (await house.call("GET", HOOK)).json()["state"] == "active", "that worker owns nothing of it"
    owned = Pointer(epoch=1, owner="w1", offset=0).metadata()
    await house.offsets.commit("app.hook", {("orders", 0): (0, owned)})
    assert (await house.call("GET", HOOK)).json()["state"] == "probing"
    assert (await house.call("GET", "/v1/subscriptions")).json()["subscriptions"][0]["state"] == "probing"
    await house.call("POST", f"{HOOK}/pause")
    assert (await house.call("GET", HOOK)).json()["state"] == "paused"


async def test_deleting_it_ends_its_runs(house: GatewayHouse) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    run = await house.call("POST", f"{HOOK}/replays", json_body={"from": "earliest", "dry_run": False})
    assert run.status == 201
    assert (await house.call("DELETE", HOOK)).status == 204
    assert house.runs.get("hook", "replay", run.json()["id"]).run.state == "cancelled"


async def test_every_verb_is_written_down_with_who_asked(house: GatewayHouse) -> None:
    await house.call("PUT", HOOK, json_body=DECLARED)
    await house.call("PUT", HOOK, json_body={**DECLARED, "in_flight_max": 7})
    for verb in ("pause", "resume", "rotate-secret", "test"):
        await house.call("POST", f"{HOOK}/{verb}")
    await house.call("DELETE", HOOK)
    assert [what for what, _, _ in house.audit.lines] == [
        "subscription-created",
        "subscription-changed",
        "subscription-paused",
        "subscription-resumed",
        "secret-rotated",
        "subscription-tested",
        "subscription-deleted",
    ]
    assert {facts["who"] for _, _, facts in house.audit.lines} == {"http 127.0.0.1"}
    (changed,) = house.audit.of("subscription-changed")
    before, after = changed["before"], changed["after"]
    assert isinstance(before, dict) and isinstance(after, dict)
    assert (before["in_flight_max"], after["in_flight_max"]) == (128, 7)
    assert [what for what, _, _ in house.happenings.lines] == [
        "created", "changed", "paused", "resumed", "secret-rotated", "deleted",
    ]  # fmt: skip


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
