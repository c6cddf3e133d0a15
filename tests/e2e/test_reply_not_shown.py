"""Threat S11: an endpoint somebody points at a service inside answers with what lies there; nobody gets to read it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from starlette.types import ASGIApp

from pipeline.cli.program import run
from pipeline.wiring import Node
from tests.e2e.operations import produce
from tests.e2e.rig import Rig, until
from tests.fakes.asgi import Caller

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

INSIDE = b"AKIA-inside-7f3ac1"
PAGE = b'{"AccessKeyId": "' + INSIDE + b'"}<script>alert(1)</script>\x1b]0;owned\x07\x1b[2J\xe2\x80\xae' + b"x" * 5000
LENGTH = b"content-length: %d\r\n\r\n" % len(PAGE)
ANSWERS = {
    "ok": b"HTTP/1.1 200 " + INSIDE + b"\r\nx-inside: " + INSIDE + b"\r\n" + LENGTH + PAGE,
    "error": b"HTTP/1.1 500 " + INSIDE + b"\r\nx-inside: " + INSIDE + b"\r\n" + LENGTH + PAGE,
    "redirect": b"HTTP/1.1 302 X\r\nlocation: http://10.0.0.1/" + INSIDE + b"\r\n" + LENGTH + PAGE,
    "later": b"HTTP/1.1 429 X\r\nretry-after: " + INSIDE + b"\r\n" + LENGTH + PAGE,
    "banner": b"SSH-2.0-OpenSSH_" + INSIDE + b"\r\n" + PAGE,
    "redis": b"-ERR " + INSIDE + b"\r\n",
    "head": b"HTTP/1.1 200 OK\r\n" + INSIDE + b"\r\n" + PAGE,
}


@pytest.fixture
async def inside() -> AsyncIterator[str]:
    """Answers a request for /name with ``ANSWERS[name]`` and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            line = await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWERS[line.split()[1].decode().strip("/")])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.slow
async def test_what_a_service_inside_answers_is_kept_nowhere_and_read_by_nobody(
    rig: Rig, topic_name: str, inside: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rig.make_topic(topic_name, 1)
    produce(rig, topic_name, b"{}", b"k")
    found: dict[str, bytes] = {}
    async with rig.worker() as node:
        for name in ANSWERS:
            declared = {"topics": [topic_name], "start": "earliest", "retry": {"schedule_s": [0.05]}}
            await node.subscriptions.put(name, {**declared, "endpoint": {"url": f"{inside}/{name}"}})
        await until(lambda: _settled(node), 20, "every event delivered or buried")
        await _asked(node, found)
        await _read(node, rig, topic_name, found)
    for words in (("subs", "show", "error"), ("subs", "attempts", "banner"), ("dlq", "list", "error")):
        assert await asyncio.to_thread(run, [*words, "--dir", str(rig.folder)]) == 0, words
    printed = capfd.readouterr()
    found["printed"], found["logged"] = printed.out.encode(), printed.err.encode()
    assert b"error" in found["printed"] and len(found) > 30, "all of it was really looked at"
    for told in (INSIDE, b"<script>", b"\x1b"):
        assert not [where for where, text in found.items() if told in text], told


async def test_a_trial_shows_the_beginning_of_a_failure_as_json_and_nothing_of_a_success(
    rig: Rig, topic_name: str, inside: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What an operator who tries an endpoint may see: 512 characters, never as a page, nothing of a good answer."""
    rig.make_topic(topic_name, 1)
    async with rig.node() as node:
        call = Caller(cast("ASGIApp", node.gateway_app()))
        for name in ANSWERS:
            await node.subscriptions.put(name, {"topics": [topic_name], "endpoint": {"url": f"{inside}/{name}"}})
            answer = await call("POST", f"/v1/subscriptions/{name}/test")
            told: dict[str, Any] = answer.json()
            assert answer.headers["content-type"] == "application/json"
            assert len(told["excerpt"]) <= 512 and len(answer.body) < 2000 and b"\x1b" not in answer.body
            assert bool(told["excerpt"]) == (name in ("error", "redirect", "later"))
            assert INSIDE.decode() not in told["detail"]
    assert await asyncio.to_thread(run, ["subs", "test", "error", "--dir", str(rig.folder)]) in (0, 1)
    printed = capfd.readouterr().out
    assert "AccessKeyId" in printed and not {"\x1b", "\x07", "\u202e"} & set(printed)


async def _settled(node: Node) -> bool:
    statuses = [await node.subscriptions.status(name) for name in ANSWERS]
    return all(part.lag == 0 for status in statuses for part in status.partitions)


async def _asked(node: Node, found: dict[str, bytes]) -> None:
    call = Caller(cast("ASGIApp", node.gateway_app()))
    targets = [f"/v1/subscriptions/{name}{rest}" for name in ANSWERS for rest in ("", "/attempts", "/dead-letters")]
    for target in ["/v1/subscriptions", "/metrics", "/readyz", *targets]:
        answer = await call("GET", target)
        assert answer.status == 200, (target, answer.body)
        found[target] = answer.body


async def _read(node: Node, rig: Rig, topic: str, found: dict[str, bytes]) -> None:
    """Every topic of the namespace, ours and dead letters, and what is committed."""
    await rig.table_lines("attempts", 1, subscription="error")
    for name in [name for name in await node.admin.topics() if rig.namespace in name and name != topic]:
        for message in await asyncio.to_thread(rig.records, name):
            found[f"{name}/{message.offset()}"] = b"\0".join(
                [message.key() or b"", message.value() or b"", repr(message.headers()).encode()]
            )
    for name in ANSWERS:
        committed = await node.offsets.read(f"{rig.namespace}.{name}", [(topic, 0)])
        found[f"committed {name}"] = repr(committed).encode()
