"""Replays, redrives, dead letters and parked keys over HTTP."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from pipeline.parking import ParkedKey
from tests.unit.gateway.answered import problem_of
from tests.unit.redrive.graveyard import DLQ, HOOK, Graveyard

SHADOW = {"url": "https://shadow.example.org/"}


async def test_dead_letters_are_shown_and_narrowed_by_query(yard: Graveyard) -> None:
    own = yard.bury(http_status=500, error="internal")
    yard.bury("expired", kind=b"paid")
    yard.log.append(DLQ, b"x", partition=0, headers=(("kafka_dlt-original-topic", b"salaries"),))
    answer = (await yard.call("GET", f"{HOOK}/dead-letters?reason=exhausted&status=500&limit=10")).json()
    (shown,) = answer["dead_letters"]
    assert shown["id"] == own and shown["origin"] == {"topic": "orders", "partition": 0, "offset": 0}
    assert (shown["key"], shown["event"]["id"], shown["state"], shown["taken_by"]) == ("k0", "e0", "open", None)
    assert answer["caught_up"] is True and answer["next"].startswith("v1.")
    assert [(one["trusted"], one["claims"]["topic"]) for one in answer["foreign"]] == [(False, "salaries")]
    typed = (await yard.call("GET", f"{HOOK}/dead-letters?type=paid&state=open")).json()["dead_letters"]
    assert [one["event"]["id"] for one in typed] == ["e1"]


async def test_one_is_found_by_the_webhook_id_of_its_delivery(yard: Graveyard) -> None:
    yard.bury()
    yard.bury()
    listed = (await yard.call("GET", f"{HOOK}/dead-letters")).json()["dead_letters"]
    wanted = next(one for one in listed if one["partition"] == 1)
    answer = (await yard.call("GET", f"{HOOK}/dead-letters?id={wanted['webhook_id']}")).json()
    assert answer["dead_letters"] == [wanted]
    body = {"select": {"ids": [wanted["webhook_id"]]}}
    assert (await yard.call("POST", f"{HOOK}/redrives", json_body=body)).json()["count"] == 1


async def test_counts_are_a_view(yard: Graveyard) -> None:
    yard.bury(http_status=500)
    yard.bury("expired")
    stats = (await yard.call("GET", f"{HOOK}/dead-letters?view=stats")).json()
    assert (stats["letters"], stats["states"]) == (2, {"open": 2})
    assert stats["reasons"] == {"exhausted": 1, "expired": 1}


async def test_all_of_them_come_as_lines_where_that_is_asked_for(yard: Graveyard) -> None:
    ids = [yard.bury() for _ in range(4)]
    answer = await yard.call("GET", f"{HOOK}/dead-letters", headers={"accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    *letters, last = [json.loads(line) for line in answer.body.splitlines()]
    assert sorted(one["id"] for one in letters) == sorted(ids) and last["caught_up"] is True
    assert {one["value"] for one in letters} == {"x0", "x1", "x2", "x3"}
    nothing = await yard.call(
        "GET", "/v1/subscriptions/nobody/dead-letters", headers={"accept": "application/x-ndjson"}
    )
    assert problem_of(nothing) == (404, "subscription-not-found")


@pytest.mark.parametrize(
    "query", ["status=abc", "since=monday", "limit=0", "view=heap", "reason=boredom", "state=lost", "sort=age"]
)
async def test_a_search_that_does_not_check_is_400(yard: Graveyard, query: str) -> None:
    assert problem_of(await yard.call("GET", f"{HOOK}/dead-letters?{query}")) == (400, "input-invalid")


async def test_one_is_shown_whole_by_its_place(yard: Graveyard) -> None:
    own = yard.bury()
    shown = (await yard.call("GET", f"{HOOK}/dead-letters/0/0")).json()
    assert (shown["id"], shown["value"], shown["as_published"]) == (own, "x0", None)
    for place in ("0/7", "x/0", "0/-1"):
        assert problem_of(await yard.call("GET", f"{HOOK}/dead-letters/{place}")) == (404, "not-found")


async def test_one_is_edited_by_somebody(yard: Graveyard) -> None:
    yard.bury()
    body = {"by": "ann", "value_base64": b64encode(b"\xff").decode(), "headers": {"x-note": "ok"}}
    made = await yard.call("POST", f"{HOOK}/dead-letters/0/0/edit", json_body=body)
    assert made.status == 201 and made.headers["location"] == f"{HOOK}/dead-letters/0/1"
    shown = (await yard.call("GET", made.headers["location"])).json()
    assert (shown["value_base64"], shown["edit"]["by"], shown["edit"]["original"]) == ("/w==", "ann", f"{DLQ}/0/0")
    again = await yard.call("POST", f"{HOOK}/dead-letters/0/0/edit", json_body=body)
    assert problem_of(again) == (409, "conflict")
    tombstone = await yard.call("POST", f"{HOOK}/dead-letters/0/1/edit", json_body={"by": "ann", "value": None})
    assert (await yard.call("GET", tombstone.headers["location"])).json()["value"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"value": "x"},
        {"by": "ann"},
        {"by": "", "value": "x"},
        {"by": "ann", "value": "x", "value_base64": "eA=="},
        {"by": "ann", "value_base64": "?"},
        {"by": "ann", "headers": {"dlq.group": "app.other"}},
    ],
)
async def test_an_edit_that_does_not_check_is_422(yard: Graveyard, body: dict[str, Any]) -> None:
    yard.bury()
    answer = await yard.call("POST", f"{HOOK}/dead-letters/0/0/edit", json_body=body)
    assert problem_of(answer) == (422, "declaration-invalid")


async def test_letters_are_discarded_with_a_reason(yard: Graveyard) -> None:
    yard.bury()
    yard.bury("expired")
    body = {"select": {"reasons": ["expired"]}, "reason": "test orders"}
    dry = await yard.call("POST", f"{HOOK}/dead-letters:discard", json_body=body | {"dry_run": True})
    assert dry.json() == {"dry_run": True, "count": 1, "by_reason": {"expired": 1}, "discard": None}
    done = (await yard.call("POST", f"{HOOK}/dead-letters:discard", json_body=body)).json()
    assert done["count"] == 1 and done["discard"]
    shown = (await yard.call("GET", f"{HOOK}/dead-letters?state=discarded")).json()["dead_letters"]
    assert [(one["note"], one["taken_by"]) for one in shown] == [("test orders", done["discard"])]
    assert (await yard.call("POST", f"{HOOK}/dead-letters:discard", json_body=body)).json()["count"] == 0


@pytest.mark.parametrize("body", [{}, {"reason": "all"}, {"reason": "", "select": {"ids": ["x"]}}])
async def test_a_discard_without_reason_or_selection_is_422(yard: Graveyard, body: dict[str, Any]) -> None:
    answer = await yard.call("POST", f"{HOOK}/dead-letters:discard", json_body=body)
    assert problem_of(answer) == (422, "declaration-invalid")


async def test_a_redrive_is_a_dry_run_unless_told_otherwise(yard: Graveyard) -> None:
    yard.bury()
    dry = await yard.call("POST", f"{HOOK}/redrives")
    assert dry.status == 200
    assert {name: dry.json()[name] for name in ("dry_run", "count", "by_reason", "parking")} == {
        "dry_run": True,
        "count": 1,
        "by_reason": {"exhausted": 1},
        "parking": 0,
    }
    assert "after newer events" in dry.json()["warnings"][0]
    wet = await yard.call("POST", f"{HOOK}/redrives", json_body={"dry_run": False, "rate_per_s": 5})
    assert wet.status == 201 and wet.json()["rate_per_s"] == 5 and wet.json()["count"] == 1
    assert "picked" not in wet.json()
    one = await yard.call("GET", wet.headers["location"])
    progress = one.json()["progress"]
    assert {name: progress[name] for name in ("done", "total", "left", "eta_s", "delivered")} == {
        "done": 0,
        "total": 1,
        "left": 1,
        "eta_s": 0.2,
        "delivered": None,
    }
    assert one.json()["state"] == "active"
    again = await yard.call("POST", f"{HOOK}/redrives", json_body={"dry_run": False})
    assert problem_of(again) == (409, "conflict")


@pytest.mark.parametrize("kind", ["replays", "redrives"])
async def test_a_run_is_listed_paused_resumed_and_cancelled(yard: Graveyard, kind: str) -> None:
    yard.bury()
    yard.log.append("orders", b"x", partition=0)
    body = {"from": "earliest"} if kind == "replays" else {"dry_run": False}
    made = await yard.call("POST", f"{HOOK}/{kind}", json_body=body)
    assert made.status == 201
    assert made.json()["group"] == f"app.hook.{kind[:-1]}.{made.json()['id']}"
    at = made.headers["location"]
    for verb, state in (("pause", "paused"), ("resume", "active"), ("cancel", "cancelled")):
        turned = await yard.call("POST", f"{at}/{verb}")
        assert turned.status == 200 and turned.json()["state"] == state
        assert (await yard.call("GET", at)).json()["state"] == state
    for verb in ("pause", "resume", "cancel"):
        assert problem_of(await yard.call("POST", f"{at}/{verb}")) == (409, "conflict")
    assert [one["id"] for one in (await yard.call("GET", f"{HOOK}/{kind}")).json()[kind]] == [made.json()["id"]]
    assert problem_of(await yard.call("GET", f"{HOOK}/{kind}/none")) == (404, "not-found")
    assert [facts["who"] for facts in yard.audit.of(f"{kind[:-1]}-paused")] == ["http 127.0.0.1"]


async def test_a_replay_is_planned_and_made_to_a_shadow(yard: Graveyard) -> None:
    yard.log.append("orders", b"x", partition=0)
    body = {"from_offset": {"orders/0": 0}, "endpoint": SHADOW, "rate_per_s": 4, "dry_run": True}
    dry = (await yard.call("POST", f"{HOOK}/replays", json_body=body)).json()
    assert (dry["count"], dry["eta_s"]) == (1, 0.2)
    assert "kafka-consumer-groups --group app.hook" in dry["command"]
    assert dry["partitions"][0]["first_at"] == "2026-11-21T00:00:00.000Z"
    made = await yard.call("POST", f"{HOOK}/replays", json_body=body | {"dry_run": False})
    assert made.json()["window"] == {"orders": {"0": [0, 1]}}
    assert made.json()["endpoint"]["url"] == SHADOW["url"]


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("redrives", {"select": {"reason": "exhausted"}}, "declaration-invalid"),
        ("redrives", {"select": {"reasons": ["boredom"]}}, "declaration-invalid"),
        ("redrives", {"rate_per_s": -1}, "declaration-invalid"),
        ("replays", {}, "declaration-invalid"),
        ("replays", {"from": "monday"}, "declaration-invalid"),
        ("replays", {"from": "earliest", "shift": -1}, "declaration-invalid"),
        ("replays", {"from": "earliest", "endpoint": SHADOW | {"secret_headers": {"x": "y"}}}, "declaration-invalid"),
        ("replays", {"from": "earliest", "endpoint": {"url": "https://127.0.0.1/"}}, "address-blocked"),
    ],
)
async def test_a_run_that_does_not_check_is_422(yard: Graveyard, target: str, body: Any, code: str) -> None:
    assert problem_of(await yard.call("POST", f"{HOOK}/{target}", json_body=body)) == (422, code)


async def test_a_window_that_is_partly_gone_is_410_unless_clamping_is_allowed(yard: Graveyard) -> None:
    for _ in range(4):
        yard.log.append("orders", b"x", partition=0)
    yard.log.trim("orders", 0, 2)
    body = {"from_offset": {"0": 1}, "dry_run": True}
    assert problem_of(await yard.call("POST", f"{HOOK}/replays", json_body=body)) == (410, "cursor-expired")
    allowed = await yard.call("POST", f"{HOOK}/replays", json_body=body | {"allow_clamp": True})
    assert allowed.json()["count"] == 2 and allowed.json()["partitions"][0]["clamped"]


async def test_parked_keys_are_seen_and_released(yard: Graveyard) -> None:
    for key in (b"k/1", None):
        row = ParkedKey(
            group="app.hook", topic="orders", partition=0, key=key, policy="block", reason="exhausted", offset=3
        )
        await yard.parked_rows.put(row.name, row.value(), based_on=None)
    shown = (await yard.call("GET", f"{HOOK}/parked")).json()["parked"]
    assert {(one["id"], one["key"]) for one in shown} == {("ay8x", "k/1"), ("~", None)}
    for key_id in ("ay8x", "~"):
        released = await yard.call("POST", f"{HOOK}/parked/{key_id}/release")
        assert (released.status, released.json()["state"]) == (200, "released")
    assert yard.parked_rows.content == {}
    for unknown in ("ay8x", "a", "%C3%A9"):
        assert problem_of(await yard.call("POST", f"{HOOK}/parked/{unknown}/release"))[0] == 404
