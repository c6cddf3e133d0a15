"""Named cursors over HTTP: statuses, entity tags and bodies."""

from __future__ import annotations

import pytest

from tests.fakes.house import GatewayHouse
from tests.unit.gateway.answered import pointers_of, problem_of

MINE = "/v1/cursors/mine"
DECLARED = {"topics": ["orders"], "start": "earliest"}


@pytest.fixture
async def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 2)
    for number in range(4):
        house.log.append("orders", b"%d" % number, partition=number % 2)
    return house


async def test_making_it_is_201_and_again_200(house: GatewayHouse) -> None:
    made = await house.call("PUT", MINE, json_body=DECLARED)
    again = await house.call("PUT", MINE, json_body=DECLARED)
    assert (made.status, again.status) == (201, 200)
    assert made.json() == again.json()
    assert made.json()["partitions"] == [
        {"partition": 0, "committed": 0, "end": 2, "lag": 2},
        {"partition": 1, "committed": 0, "end": 2, "lag": 2},
    ]
    assert made.json()["lag"] == 4


async def test_another_declaration_is_409(house: GatewayHouse) -> None:
    await house.call("PUT", MINE, json_body=DECLARED)
    assert problem_of(await house.call("PUT", MINE, json_body={"topics": ["orders"]})) == (409, "conflict")


async def test_reading_and_committing_in_turn_reaches_the_end(house: GatewayHouse) -> None:
    await house.call("PUT", MINE, json_body=DECLARED)
    seen = []
    answers = []
    for _ in range(4):
        page = await house.call("GET", f"{MINE}/events?limit=2")
        seen += page.json()
        etag = (await house.call("GET", MINE)).headers["etag"]
        body = {"cursor": page.headers["event-cursor"]}
        answers.append(await house.call("POST", f"{MINE}/commit", json_body=body, headers={"if-match": etag}))
    assert len(seen) == 4
    assert [answer.status for answer in answers] == [204, 204, 200, 200]
    assert answers[-1].json() == {"advanced": False}
    assert (await house.call("GET", MINE)).json()["lag"] == 0


async def test_moving_it_is_204_and_changes_its_entity_tag(house: GatewayHouse) -> None:
    before = await house.call("PUT", MINE, json_body=DECLARED)
    page = await house.call("GET", f"{MINE}/events")
    moved = await house.call("POST", f"{MINE}/commit", json_body={"cursor": page.headers["event-cursor"]})
    assert (moved.status, moved.body) == (204, b"")
    assert (await house.call("GET", MINE)).headers["etag"] != before.headers["etag"]
    stale = await house.call(
        "POST",
        f"{MINE}/commit",
        json_body={"cursor": page.headers["event-cursor"]},
        headers={"if-match": before.headers["etag"]},
    )
    assert problem_of(stale) == (412, "version-conflict")


async def test_backwards_is_409_unless_forced(house: GatewayHouse) -> None:
    start = (await house.call("PUT", MINE, json_body=DECLARED)).json()["cursor"]
    page = await house.call("GET", f"{MINE}/events")
    await house.call("POST", f"{MINE}/commit", json_body={"cursor": page.headers["event-cursor"]})
    assert problem_of(await house.call("POST", f"{MINE}/commit", json_body={"cursor": start})) == (409, "conflict")
    forced = await house.call("POST", f"{MINE}/commit", json_body={"cursor": start, "force": True})
    assert forced.status == 204


async def test_a_native_member_makes_it_409(house: GatewayHouse) -> None:
    await house.call("PUT", MINE, json_body=DECLARED)
    page = await house.call("GET", f"{MINE}/events")
    house.offsets.active.add("app.mine")
    answer = await house.call("POST", f"{MINE}/commit", json_body={"cursor": page.headers["event-cursor"]})
    assert problem_of(answer) == (409, "group-active")


async def test_a_lost_pointer_is_409_and_says_what_to_do(house: GatewayHouse) -> None:
    await house.call("PUT", MINE, json_body=DECLARED)
    house.offsets.committed.clear()
    answer = await house.call("GET", f"{MINE}/events")
    assert problem_of(answer) == (409, "pointer-missing")
    assert "force a commit" in answer.json()["detail"]


async def test_a_topic_can_be_read_from_it(house: GatewayHouse) -> None:
    await house.call("PUT", MINE, json_body=DECLARED)
    assert len((await house.call("GET", "/v1/topics/orders/events?from=@mine")).json()) == 4


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"cursor": 7}, "/cursor"),
        ({}, "/cursor"),
        ({"cursor": "v1.AAAA", "lease": 1}, "/lease"),
        ({"cursor": "v1.AAAA", "force": "yes"}, "/force"),
    ],
)
async def test_a_commit_body_that_does_not_check_is_422(
    house: GatewayHouse, body: dict[str, object], pointer: str
) -> None:
    await house.call("PUT", MINE, json_body=DECLARED)
    answer = await house.call("POST", f"{MINE}/commit", json_body=body)
    assert problem_of(answer) == (422, "declaration-invalid")
    assert pointers_of(answer) == [pointer]


async def test_a_token_that_is_none_is_400(house: GatewayHouse) -> None:
    await house.call("PUT", MINE, json_body=DECLARED)
    answer = await house.call("POST", f"{MINE}/commit", json_body={"cursor": "earliest"})
    assert problem_of(answer) == (400, "cursor-malformed")


@pytest.mark.parametrize("name", ["nobody", "a%20b", "a.b", "x" * 101])
async def test_one_that_does_not_exist_is_404(house: GatewayHouse, name: str) -> None:
    for method, end in (("GET", ""), ("GET", "/events"), ("POST", "/commit")):
        answer = await house.call(method, f"/v1/cursors/{name}{end}", json_body={"cursor": "v1.AAAAAQA"})
        assert problem_of(answer) == (404, "cursor-not-found"), (method, end)


async def test_a_name_that_cannot_be_a_group_is_422(house: GatewayHouse) -> None:
    assert problem_of(await house.call("PUT", "/v1/cursors/a.b", json_body=DECLARED)) == (422, "declaration-invalid")


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{", "application/json", (400, "format-unreadable")),
        (b"[]", "application/json", (400, "format-unreadable")),
        (b"topics: [orders]", "application/yaml", (415, "unsupported-media-type")),
        (b"", "application/json", (422, "declaration-invalid")),
        (b"[" * 5000, "application/json", (400, "format-unreadable")),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    house: GatewayHouse, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    answer = await house.call("PUT", MINE, headers={"content-type": content_type}, body=body)
    assert problem_of(answer) == expected
