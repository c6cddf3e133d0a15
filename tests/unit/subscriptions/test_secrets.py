"""Endpoint secrets: taken out, sealed, kept while they go where they went, never shown; signing secrets renewed."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.sealing import KeyRing, unseal
from pipeline.subscription import BearerAuth, Endpoint, Subscription, secret_context
from pipeline.subscriptions import OVERLAP_S, DeclarationsInvalid, Sealer, take_secrets, unsealed
from tests.fakes.house import KEYRING, GatewayHouse

URL = "https://hooks.example.org/in"
BEARER = {"kind": "bearer", "token": "canary-token"}


@pytest.fixture
def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 1)
    return house


def declared(**endpoint: Any) -> dict[str, Any]:
    return {"topics": ["orders"], "endpoint": {"url": URL, **endpoint}}


def opened(text: str) -> str:
    return unseal(KEYRING, text, secret_context("hook")).decode()


def test_secrets_are_taken_out_of_a_declaration_and_blanks_stay() -> None:
    spec = Subscription(
        name="hook",
        topics=("orders",),
        endpoint=Endpoint(
            url=URL,
            headers={"X-Api-Key": "k", "x-tenant": "acme"},
            secret_headers={"x-more": "m"},
            auth=BearerAuth(token="t"),
        ),
    )
    without, given = take_secrets(spec)
    assert given == ("t", {"X-Api-Key": "k", "x-more": "m"})
    assert without.endpoint.auth == BearerAuth()
    assert without.endpoint.secret_headers == {"X-Api-Key": "", "x-more": ""}
    assert without.endpoint.headers == {"x-tenant": "acme"}
    assert take_secrets(without)[0] == without


async def test_given_secrets_are_sealed_and_stored_nowhere_else(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", declared(auth=BEARER, secret_headers={"x-more": "canary-header"}))
    assert opened(made.row.secrets.auth) == "canary-token"
    assert opened(made.row.secrets.headers["x-more"]) == "canary-header"
    assert b"canary" not in house.subscription_rows.content["hook"].value


async def test_the_same_secrets_or_blanks_change_nothing_others_do(house: GatewayHouse) -> None:
    first = await house.subscriptions.put("hook", declared(auth=BEARER, secret_headers={"x-more": "a"}))
    same = await house.subscriptions.put("hook", declared(auth=BEARER, secret_headers={"x-more": "a"}))
    blank = await house.subscriptions.put("hook", declared(auth={"kind": "bearer"}, secret_headers={"x-more": ""}))
    assert first.version == same.version == blank.version
    other = await house.subscriptions.put("hook", declared(auth={"kind": "bearer", "token": "b"}, secret_headers={}))
    assert other.version != first.version
    assert opened(other.row.secrets.auth) == "b" and other.row.secrets.headers == {}


async def test_a_secret_that_was_never_given_is_asked_for(house: GatewayHouse) -> None:
    with pytest.raises(DeclarationsInvalid) as caught:
        await house.subscriptions.put("hook", declared(auth={"kind": "bearer"}, secret_headers={"x-more": ""}))
    assert [one.field for one in caught.value.problems] == ["/endpoint/auth/token", "/endpoint/secret_headers/x-more"]


@pytest.mark.parametrize(
    "endpoint",
    [
        {"url": "https://other.example.org/in", "auth": {"kind": "bearer"}},
        {"url": "https://hooks.example.org:8443/in", "auth": {"kind": "bearer"}},
        {"url": URL, "auth": {"kind": "basic", "username": "u"}},
    ],
)
async def test_a_stored_credential_goes_only_where_it_was_given_for(
    house: GatewayHouse, endpoint: dict[str, Any]
) -> None:
    await house.subscriptions.put("hook", declared(auth=BEARER))
    with pytest.raises(DeclarationsInvalid, match="/endpoint/auth/"):
        await house.subscriptions.put("hook", {"topics": ["orders"], "endpoint": endpoint})
    moved = await house.subscriptions.put("hook", declared(url=f"{URL}/deeper", auth={"kind": "bearer"}))
    assert opened(moved.row.secrets.auth) == "canary-token"


async def test_a_credential_no_longer_declared_is_forgotten(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", declared(auth=BEARER))
    assert (await house.subscriptions.put("hook", declared())).row.secrets.auth == ""


async def test_a_rotated_secret_signs_beside_the_one_before_for_a_day(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", {**declared(), "signing": {"v1": True, "v1a": True}})
    turned = await house.subscriptions.secrets.rotate("hook")
    held = turned.row.secrets
    assert (len(held.v1), len(held.v1a)) == (2, 2)
    assert opened(held.v1[0]) == turned.shown.secret != made.shown.secret
    assert opened(held.v1[1]) == made.shown.secret
    assert turned.shown.public_key and turned.shown.public_key.startswith("whpk_")
    assert held.retire_at_ms == house.now_ms() + OVERLAP_S * 1000
    house.log.now_ms += OVERLAP_S * 1000
    again = (await house.subscriptions.secrets.rotate("hook")).row.secrets
    assert [opened(text) for text in again.v1][1:] == [turned.shown.secret]


async def test_without_an_overlap_the_one_before_is_gone_at_once(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", declared())
    await house.subscriptions.secrets.rotate("hook")
    turned = await house.subscriptions.secrets.rotate("hook", 0)
    assert len(turned.row.secrets.v1) == 1 and turned.row.secrets.retire_at_ms == 0
    assert opened(turned.row.secrets.v1[0]) == turned.shown.secret


async def test_so_many_secrets_sign_at_once_and_no_more(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", declared())
    for _ in range(3):
        await house.subscriptions.secrets.rotate("hook")
    with pytest.raises(Conflict, match="overlap_s 0"):
        await house.subscriptions.secrets.rotate("hook")
    with pytest.raises(DeclarationInvalid, match="/overlap_s"):
        await house.subscriptions.secrets.rotate("hook", -1)


async def test_rewrapping_seals_everything_under_the_newest_key_and_nothing_twice(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", declared(auth=BEARER, secret_headers={"x-more": "m"}))
    newer = KeyRing([("k2", bytes(32)), ("k1", bytes(range(32)))])
    keeper = house.subscriptions.secrets
    keeper.sealer = Sealer(newer, keeper.sealer.random)
    assert await keeper.rewrap("hook")
    row, version = house.subscriptions.get("hook")
    sealed = [*row.secrets.v1, row.secrets.auth, *row.secrets.headers.values()]
    assert all(text.startswith("sealed1.k2.") for text in sealed)
    assert unsealed(row, keeper.sealer) == unsealed(made.row, keeper.sealer)
    assert not await keeper.rewrap("hook")
    assert house.subscriptions.get("hook")[1] == version


async def test_a_plan_names_what_would_change_and_hides_secrets(house: GatewayHouse) -> None:
    subs = house.subscriptions
    assert subs.plan("hook", declared(auth=BEARER)).change == "created"
    await subs.put("hook", declared(auth=BEARER))
    assert subs.plan("hook", declared(auth=BEARER)).change == "unchanged"
    planned = subs.plan("hook", {**declared(auth={"kind": "bearer", "token": "n"}), "retry": {"reject_status": [422]}})
    assert planned.change == "changed"
    told = {one.pointer: (one.before, one.after) for one in planned.differences}
    assert told == {"/retry/reject_status": ([], [422]), "/endpoint/auth": ("(hidden)", "(hidden)")}


async def test_an_endpoint_is_asked_with_its_secrets_kept_ones_too(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", declared(auth=BEARER, secret_headers={"x-more": "a"}))
    kept = declared(auth={"kind": "bearer"}, secret_headers={"x-more": ""})
    again = await house.subscriptions.put("hook", {**kept, "in_flight_max": 3})
    for spec in house.admission.asked:
        assert spec.endpoint.auth == BearerAuth(token="canary-token")
        assert spec.endpoint.secret_headers == {"x-more": "a"}
    assert len(house.admission.asked) == 2
    assert again.row.spec.endpoint.auth == BearerAuth()
