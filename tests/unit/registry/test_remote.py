"""The remote registry asks rarely, waits a bounded time, and says what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from pipeline.errors import DeclarationInvalid, RegistryError
from pipeline.guard import Guard
from pipeline.registry.remote import ANSWER_BYTES_MAX, RemoteRegistry, RemoteSettings
from pipeline.webhook.outbound import Outbound
from tests.unit.registry.confluent_server import ConfluentServer, answered, refusal

TEXT = '{"type": "string"}'


def asking(**settings: Any) -> RemoteRegistry:
    """A registry as the wiring makes it."""
    return RemoteRegistry(RemoteSettings(**settings), Outbound(Guard.for_operators()))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[ConfluentServer]:
    async with ConfluentServer().running() as running:
        running.schemas.append(("order", TEXT))
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def registry(server: ConfluentServer, clock: Clock) -> AsyncIterator[RemoteRegistry]:
    made = RemoteRegistry(
        RemoteSettings(url=server.url + "/", latest_age_s=30), Outbound(Guard.for_operators()), clock=clock
    )
    yield made
    await made.close()


async def test_a_schema_is_asked_for_by_its_id_once(registry: RemoteRegistry, server: ConfluentServer) -> None:
    assert await registry.by_id(1) == await registry.by_id(1) == TEXT
    assert server.asked == ["GET /schemas/ids/1"]


async def test_the_latest_is_asked_for_again_when_it_is_old(
    registry: RemoteRegistry, server: ConfluentServer, clock: Clock
) -> None:
    await registry.latest("order")
    server.schemas.append(("order", '"bytes"'))
    clock.now += 29
    assert (await registry.latest("order")).id == 1
    clock.now += 2
    assert (await registry.latest("order")).id == 2


async def test_what_the_latest_said_is_known_by_id(registry: RemoteRegistry, server: ConfluentServer) -> None:
    found = await registry.latest("order")
    assert await registry.by_id(found.id) == TEXT
    assert len(server.asked) == 1


async def test_many_who_ask_the_same_ask_once(registry: RemoteRegistry, server: ConfluentServer) -> None:
    await asyncio.gather(*[registry.latest("order") for _ in range(50)])
    assert len(server.asked) == 1


async def test_one_who_leaves_does_not_disturb_the_others(registry: RemoteRegistry) -> None:
    leaving = asyncio.create_task(registry.latest("order"))
    staying = asyncio.create_task(registry.latest("order"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).id == 1


async def test_registering_asks_for_the_latest_afresh(registry: RemoteRegistry, server: ConfluentServer) -> None:
    await registry.latest("order")
    await registry.register("order", '["string", "null"]')
    assert (await registry.latest("order")).id == 2


async def test_the_latest_known_is_used_while_the_registry_fails_and_not_asked_at_every_event(
    registry: RemoteRegistry, server: ConfluentServer, clock: Clock
) -> None:
    await registry.latest("order")
    server.answer = refusal(500, 50001, "Error in the backend data store")
    clock.now += 31
    assert (await registry.latest("order")).id == 1
    assert (await registry.latest("order")).id == 1
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusal(500, 50001, "Error in the\nbackend"), "status 500, Error in the backend"),
        (refusal(401, 401, "User cannot be authenticated"), "status 401, User cannot"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}, body=b"{}"), "status 302"),
        (web.Response(text="<html>"), "no JSON object"),
        (answered({"id": 1}), "without a schema"),
        (answered({"schema": TEXT}), "without an id"),
        (answered({"id": -1, "schema": TEXT}), "without an id"),
        (answered({"id": 1, "schema": TEXT, "schemaType": "PROTOBUF"}), "only AVRO"),
        (answered({"id": 1, "schema": TEXT, "references": [{"name": "a"}]}), "references"),
        (answered({"schema": "x" * ANSWER_BYTES_MAX}), "more than"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_named(
    registry: RemoteRegistry, server: ConfluentServer, answer: web.Response, said: str
) -> None:
    server.answer = answer
    with pytest.raises(RegistryError) as raised:
        await registry.latest("order")
    assert said in str(raised.value)
    assert server.url in str(raised.value)
    assert raised.value.retryable


async def test_an_answer_that_does_not_come_is_given_up(server: ConfluentServer) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    registry = asking(url=f"http://127.0.0.1:{port}", timeout_s=0.05)
    with pytest.raises(RegistryError, match=r"no answer within 0\.05 s"):
        await registry.by_id(1)
    await registry.close()
    listener.close()
    await listener.wait_closed()


async def test_a_registry_that_is_not_there_is_named() -> None:
    registry = asking(url="http://127.0.0.1:1024")
    with pytest.raises(RegistryError, match=r"http://127\.0\.0\.1:1024: GET /schemas/ids/1: .*Connection refused"):
        await registry.by_id(1)
    await registry.close()


@pytest.mark.parametrize(
    ("settings", "header"),
    [({"user": "me", "password": "p:w"}, "Basic bWU6cDp3"), ({"token": "abc"}, "Bearer abc"), ({}, None)],
)
async def test_credentials_go_into_the_header(
    server: ConfluentServer, settings: dict[str, Any], header: str | None
) -> None:
    made = RemoteSettings(url=server.url, **settings)
    registry = asking(url=server.url, **settings)
    await registry.by_id(1)
    await registry.close()
    assert server.authorization == header
    assert "p:w" not in repr(made) and "abc" not in repr(made)


@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.example@169.254.169.254", "0x7f.1"])
async def test_a_registry_url_is_judged_like_any_other(host: str) -> None:
    """S9: an operator's own URL may lead to a private network, but to no metadata service and in no odd spelling."""
    with pytest.raises((RegistryError, DeclarationInvalid)):
        await asking(url=f"http://{host}:8081").by_id(1)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8081", "ftp://host", "http://", "http://host?a=b", "http://me:pw@host"])
def test_a_url_that_is_none_is_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(DeclarationInvalid) as raised:
        RemoteSettings(url=url)
    assert raised.value.field == "registry.url"
    assert "pw" not in str(raised.value)


def test_a_time_limit_that_is_none_is_refused() -> None:
    with pytest.raises(DeclarationInvalid):
        RemoteSettings(url="http://host", timeout_s=0)


async def test_closing_what_was_never_used_is_fine() -> None:
    await asking(url="http://host").close()
