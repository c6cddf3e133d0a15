"""Endpoints and URLs that would lead a delivery inside: redirects to a metadata service, literals no resolver sees."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from pipeline.delivery.verdict import Fault, FaultKind, Reply, VerdictKind, verdict_of
from pipeline.errors import AddressBlocked, DeclarationInvalid
from pipeline.guard import Guard
from tests.contract.webhook.conftest import NO_CONTENT, MakeSender, Toxic, read_request


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(NO_CONTENT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["Location", "location", "Refresh", "Alt-Svc"])
async def test_a_redirect_inside_is_a_failure_and_followed_nowhere(
    toxic: Toxic, make_sender: MakeSender, status: int, where: str
) -> None:
    """Threat S4. What stands in for the metadata service is alive and would answer: nobody may come."""
    inside = Toxic()
    secret = await inside.serve(answer_all)
    leads = {"Refresh": f"0; url={secret}", "Alt-Svc": f'http/1.1="{secret[7:].partition("/")[0]}"'}.get(where, secret)

    async def redirecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(f"HTTP/1.1 {status} X\r\n{where}: {leads}\r\ncontent-length: 0\r\n\r\n".encode())

    tried = make_sender(await toxic.serve(redirecting))
    for _ in range(2):
        outcome = await tried.send()
        assert isinstance(outcome, Reply) and outcome.status == status
        verdict = verdict_of(outcome, frozenset(), 0.0)
        assert (verdict.kind, verdict.reason) == (VerdictKind.RETRY, "exhausted"), "a failure, as any"
    assert (inside.connections, toxic.connections) == (0, 1)
    await inside.stop()


LITERALS = [
    "127.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.0.0.1.",
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "[::]",
]


@pytest.mark.parametrize("literal", LITERALS)
async def test_a_literal_is_judged_though_no_resolver_sees_it(
    toxic: Toxic, make_sender: MakeSender, literal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat S5: a hook in the resolver is not asked for literals, and the system reads each of these as loopback."""
    asked: list[str] = []

    async def resolve(_: object, host: str, *args: Any, **words: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", resolve, raising=False)
    port = (await toxic.serve(answer_all)).split(":")[2].split("/")[0]
    for scheme in ("http", "https"):
        url, guard = f"{scheme}://{literal}:{port}/hook", Guard(allow_http=True)
        with pytest.raises(AddressBlocked):
            guard.check_url(url)
        try:
            outcome = await make_sender(url, guard=guard).send()
        except DeclarationInvalid:
            assert not literal.isascii(), "such an endpoint cannot even be declared"
            continue
        assert isinstance(outcome, Fault) and outcome.kind is FaultKind.BLOCKED_ADDRESS
    assert (toxic.connections, asked) == (0, [])
    await make_sender(f"http://name.example:{port}/hook", guard=Guard(allow_http=True)).send()
    assert (toxic.connections, asked) == (0, ["name.example"]), "names are asked for, so the hook is one"
