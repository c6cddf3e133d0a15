"""Secrets that can be recognised, put everywhere a secret goes; then everything that comes out is searched for them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.types import ASGIApp

from pipeline.cli.program import run
from pipeline.wiring import Node
from tests.e2e.operations import produce
from tests.e2e.rig import Rig, until
from tests.fakes.asgi import Caller

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow]

CANARY = "canary7f3ac1"
SEALING_KEY = base64.b64encode(f"{CANARY}-sealing".ljust(32, "x").encode()).decode()
HOOK = "/v1/subscriptions/hook"


class Echo:
    """An endpoint that refuses, and sends everything it was sent back with its refusal."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                told = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                request = head + await reader.readexactly(int(told or b"0"))
                self.requests.append(request)
                echoed = b"HTTP/1.1 400 %s\r\ncontent-length: %d\r\n\r\n%s" % (_authorization(head), len(head), head)
                writer.write(echoed)
        writer.close()


def _authorization(head: bytes) -> bytes:
    """For the reason phrase, which some print."""
    return head.partition(b"uthorization: ")[2].partition(b"\r\n")[0] or b"No"


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, str]]:
    made = Echo()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    yield made, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    server.close()


def declared(topic: str, url: str) -> dict[str, Any]:
    return {
        "topics": [topic],
        "start": "earliest",
        "retry": {"schedule_s": [0.05], "reject_status": []},
        "endpoint": {
            "url": url,
            "auth": {"kind": "bearer", "token": f"{CANARY}-token"},
            "headers": {"x-api-key": f"{CANARY}-header"},
            "secret_headers": {"x-more": f"{CANARY}-more"},
        },
    }


async def test_no_secret_comes_out_anywhere(
    rig: Rig,
    topic_name: str,
    echo: tuple[Echo, str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint, url = echo
    _plant(rig.folder)
    rig.make_topic(topic_name, 1)
    found: dict[str, bytes] = {}
    async with rig.worker() as node:
        call = Caller(cast("ASGIApp", node.gateway_app()))
        signing = await _asked(call, declared(topic_name, url), found)
        produce(rig, topic_name, b'{"n": 1}', b"k")
        dead_letters = f"{rig.namespace}.hook.dlq"

        async def buried() -> bool:
            return len(await asyncio.to_thread(rig.records, dead_letters)) > 0

        await until(buried, 20, "a dead letter")
        await rig.table_lines("attempts", 1)
        await _asked_after(call, found)
        await _looked_into(node, rig, topic_name, found)
    await _typed(rig, declared(topic_name, url), monkeypatch)
    printed = capfd.readouterr()
    found["printed"], found["logged"] = printed.out.encode(), printed.err.encode()
    for secret in (CANARY, SEALING_KEY, *signing):
        assert not [where for where, text in found.items() if secret.encode() in text], secret
    assert endpoint.requests, "it was really tried"
    assert found["GET /metrics"] and found["printed"] and len(found) > 20, "all of it was really looked at"


async def test_credentials_of_an_endpoint_are_really_sent(rig: Rig, topic_name: str, echo: tuple[Echo, str]) -> None:
    """Else the search above would find nothing because nothing was there."""
    endpoint, url = echo
    rig.make_topic(topic_name, 1)
    async with rig.node() as node:
        await node.subscriptions.put("hook", declared(topic_name, url))
        await node.trials.send("hook")
    (request,) = endpoint.requests
    assert f"Bearer {CANARY}-token".encode() in request
    assert f"{CANARY}-header".encode() in request and f"{CANARY}-more".encode() in request


def _plant(folder: Path) -> None:
    file = folder / "pipeline.toml"
    secure = f'[kafka]\nsecurity = {{"sasl.password" = "{CANARY}-sasl"}}\n'
    text = file.read_text().replace("[kafka]\n", secure)
    file.write_text(text + f'[secrets]\nkeys = ["k1:{SEALING_KEY}"]\n')


async def _asked(call: Caller, good: dict[str, Any], found: dict[str, bytes]) -> list[str]:
    """Declare it wrong in many ways, then right; the signing secrets that were shown."""
    endpoint = good["endpoint"]
    wrong: list[Any] = [
        {**good, "endpoint": {**endpoint, "auth": {"kind": "bearer", "token": [f"{CANARY}-token"]}}},
        {**good, "endpoint": {**endpoint, "auth": f"{CANARY}-token"}},
        {**good, "endpoint": {**endpoint, "auth": {"kind": "magic", "token": f"{CANARY}-token"}}},
        {**good, "endpoint": {**endpoint, "secret_headers": {"x-more": f"{CANARY}\n"}, "headers": {"x-more": CANARY}}},
        {**good, "endpoint": [CANARY], "topics": ["absent"]},
        {**good, "topics": ["absent"]},
    ]
    for number, body in enumerate(wrong):
        answer = await call("PUT", HOOK, json_body=body)
        assert answer.status == 422, answer.body
        found[f"wrong {number}"] = answer.body
    broken = await call(
        "PUT", HOOK, body=f'{{"token": "{CANARY}"'.encode(), headers={"content-type": "application/json"}
    )
    found["broken"] = broken.body
    made = await call("PUT", HOOK, json_body=good)
    turned = await call("POST", f"{HOOK}/rotate-secret")
    assert (made.status, turned.status) == (201, 200)
    secrets = [made.json()["secret"].removeprefix("whsec_"), turned.json()["secret"].removeprefix("whsec_")]
    found["PUT"] = made.body.replace(secrets[0].encode(), b"")
    found["rotate"] = turned.body.replace(secrets[1].encode(), b"")
    return secrets


async def _asked_after(call: Caller, found: dict[str, bytes]) -> None:
    asked = [
        ("GET", HOOK, None),
        ("GET", "/v1/subscriptions", None),
        ("POST", f"{HOOK}/test", None),
        ("GET", f"{HOOK}/attempts", None),
        ("GET", f"{HOOK}/dead-letters", None),
        ("POST", f"{HOOK}/reset", {"to": "earliest"}),
        ("POST", f"{HOOK}/pause", None),
        ("POST", f"{HOOK}/resume", None),
        ("GET", "/v1/openapi.json", None),
        ("GET", "/metrics", None),
    ]
    for method, path, body in asked:
        answer = await call(method, path, json_body=body) if body else await call(method, path)
        assert answer.status == 200, (path, answer.body)
        found[f"{method} {path}"] = answer.body


async def _looked_into(node: Node, rig: Rig, topic: str, found: dict[str, bytes]) -> None:
    """Every topic of the namespace, ours and dead letters, and what is committed."""
    ours = [name for name in await node.admin.topics() if rig.namespace in name and name != topic]
    assert len(ours) >= 6
    for name in ours:
        for message in await asyncio.to_thread(rig.records, name):
            text = b"\0".join([message.key() or b"", message.value() or b"", repr(message.headers()).encode()])
            found[f"{name}/{message.offset()}"] = text
    committed = await node.offsets.read(f"{rig.namespace}.hook", [(topic, 0)])
    found["committed"] = repr(committed).encode()


async def _typed(rig: Rig, good: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line prints, errors included, with secrets out of the environment."""
    for name, value in (("TOKEN", "token"), ("KEY", "header"), ("MORE", "more")):
        monkeypatch.setenv(f"SHOP_{name}", f"{CANARY}-{value}")
    endpoint = (
        f'{{url: "{good["endpoint"]["url"]}", auth: {{kind: bearer, token: "${{SHOP_TOKEN}}"}}, '
        'headers: {x-api-key: "${SHOP_KEY}"}, secret_headers: {x-more: "${SHOP_MORE}"}}'
    )
    folder = rig.folder / "subscriptions"
    folder.mkdir()
    declaration = f"topics: [{good['topics'][0]}]\nstart: earliest\nin_flight_max: 9\nendpoint: {endpoint}\n"
    (folder / "hook.yaml").write_text(declaration)
    (rig.folder / "broken.yaml").write_text(f'endpoint: {{auth: "{CANARY}\n')
    for status, words in (
        (0, ("config", "--json")),
        (2, ("subs", "plan")),
        (0, ("subs", "apply", "--json")),
        (1, ("subs", "apply", "--file", str(rig.folder / "broken.yaml"))),
        (0, ("subs", "show", "hook")),
    ):
        assert await asyncio.to_thread(run, [*words, "--dir", str(rig.folder)]) == status, words
