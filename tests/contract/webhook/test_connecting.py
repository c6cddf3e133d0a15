"""Which address is connected to, and how a connection that does not come about is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.errors import AddressBlocked
from pipeline.guard import Guard
from pipeline.webhook.connect import ConnectFailed, Connector
from pipeline.webhook.sender import SenderSettings
from pipeline.webhook.transport import Connection
from tests.contract.webhook.conftest import NO_CONTENT, Authority, MakeSender, Toxic, read_request


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(NO_CONTENT)


class Resolver:
    """Answers in turn, the last one for ever; an exception is raised."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        families = [socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in answer]
        return [(family, socket.SOCK_STREAM, 6, "", (ip, port)) for family, ip in zip(families, answer, strict=True)]


def fault_of(outcome: Reply | Fault) -> tuple[FaultKind, str]:
    assert isinstance(outcome, Fault)
    assert outcome.detail.isprintable()
    return outcome.kind, outcome.detail


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://169.254.169.254/latest", "https://[::1]/", "http://a.example/"]
)
async def test_a_forbidden_url_is_never_connected_to(make_sender: MakeSender, url: str) -> None:
    outcome = await make_sender(url, guard=Guard()).send()
    assert fault_of(outcome)[0] is FaultKind.BLOCKED_ADDRESS


async def test_a_name_is_judged_by_its_addresses(toxic: Toxic, make_sender: MakeSender) -> None:
    """``localhost`` is in every hosts file, so this asks the real resolver."""
    url = (await toxic.serve(answer_all)).replace("127.0.0.1", "localhost")
    assert isinstance(await make_sender(url).send(), Reply)
    kind, detail = fault_of(await make_sender(url.replace("http:", "https:"), guard=Guard()).send())
    assert kind is FaultKind.DNS  # the first such answer may be a slip
    assert "localhost may not be called" in detail
    assert toxic.connections == 1


async def open_to(
    resolver: Resolver, guard: Guard, url: str, *, times: int = 1, timeout_s: float = 1.0, doubt_s: float = 0.0
) -> list[Any]:
    """What opening connections one by one came to, with this resolver in place of the system's."""
    loop = asyncio.get_running_loop()
    connector = Connector(guard.check_url(url), guard, timeout_s=timeout_s, tls=None, resolve=resolver, doubt_s=doubt_s)
    outcomes: list[Any] = []
    for _ in range(times):
        await asyncio.sleep(0.005)  # uvloop's clock has milliseconds
        try:
            connection = await connector.open(lambda: Connection(Nobody(), 1000, {}))
        except ConnectFailed as failed:
            outcomes.append((failed.kind, failed.detail))
        else:
            outcomes.append(connection)
            connection.abort()
    connector.close()
    await asyncio.sleep(0)
    assert loop.is_running()
    return outcomes


class Nobody:
    def ended(self, connection: Connection, now: float) -> None: ...
    def lost(self, connection: Connection) -> None: ...


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["8.8.8.8", "127.0.0.1", "fd00::1"], ["::ffff:10.0.0.1"]],
)
async def test_one_blocked_answer_refuses_all(toxic: Toxic, answers: list[str]) -> None:
    port = (await toxic.serve(answer_all)).split(":")[2].split("/")[0]
    guard = Guard(allow_loopback=True, allow_http=True)
    outcomes = await open_to(Resolver(answers), guard, f"http://mixed.example:{port}/")
    assert outcomes[0][0] is FaultKind.BLOCKED_ADDRESS
    assert toxic.connections == 0


async def test_a_blocked_answer_counts_when_a_later_look_up_says_it_again() -> None:
    """A slip of the resolver is a look-up to be tried again; only a name that stays blocked stops a subscription."""
    url, guard = "https://slipping.example/", Guard()
    kinds = [kind for kind, _ in await open_to(Resolver(["10.0.0.1"]), guard, url, times=2, doubt_s=60.0)]
    assert kinds == [FaultKind.DNS, FaultKind.DNS]
    outcomes = await open_to(Resolver(["10.0.0.1"]), guard, url, times=2, doubt_s=0.002)
    assert [kind for kind, _ in outcomes] == [FaultKind.DNS, FaultKind.BLOCKED_ADDRESS]
    assert "looked up again" in outcomes[0][1]


async def test_a_slip_that_passes_leaves_no_doubt_behind(toxic: Toxic) -> None:
    port = (await toxic.serve(answer_all)).split(":")[2].split("/")[0]
    resolver = Resolver(["10.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])
    guard = Guard(allow_loopback=True, allow_http=True)
    connector = Connector(
        guard.check_url(f"http://slip.example:{port}/"), guard, timeout_s=1.0, tls=None, resolve=resolver, doubt_s=1e-9
    )
    outcomes: list[object] = []
    for _ in range(3):
        connector.forget_addresses()
        try:
            (await connector.open(lambda: Connection(Nobody(), 1000, {}))).abort()
            outcomes.append("open")
        except ConnectFailed as failed:
            outcomes.append(failed.kind)
    assert outcomes == [FaultKind.DNS, "open", FaultKind.DNS]


async def test_a_name_that_is_rebound_is_refused_when_it_is_asked_again(toxic: Toxic) -> None:
    """The address that was judged is the one connected to; a second answer is judged anew."""
    port = (await toxic.serve(answer_all)).split(":")[2].split("/")[0]
    guard = Guard(["127.0.0.1/32"], allow_http=True)
    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
    target = guard.check_url(f"http://rebinding.example:{port}/")
    connector = Connector(target, guard, timeout_s=1.0, tls=None, resolve=resolver, doubt_s=0.0)
    for _ in range(3):
        (await connector.open(lambda: Connection(Nobody(), 1000, {}))).abort()
    assert resolver.asked == 1
    connector.forget_addresses()
    with pytest.raises(ConnectFailed) as caught:
        await connector.open(lambda: Connection(Nobody(), 1000, {}))
    assert caught.value.kind is FaultKind.BLOCKED_ADDRESS
    assert resolver.asked == 2


class Wavering(Guard):
    """Lets an address pass the first time only."""

    def __init__(self) -> None:
        super().__init__(allow_loopback=True, allow_http=True)
        self.asked: list[str] = []

    def check_address(self, host: str, address: str, port: int | None = None) -> None:
        if address in self.asked:
            raise AddressBlocked(host, address, "no longer to be called")
        self.asked.append(address)


async def test_the_peer_is_judged_again_before_a_byte_is_sent(toxic: Toxic) -> None:
    port = (await toxic.serve(answer_all)).split(":")[2].split("/")[0]
    outcomes = await open_to(Resolver(["127.0.0.1"]), Wavering(), f"http://wavering.example:{port}/")
    assert outcomes[0] == (
        FaultKind.BLOCKED_ADDRESS,
        "wavering.example may not be called: 127.0.0.1 is no longer to be called",
    )


async def test_a_socket_connected_to_itself_is_no_connection() -> None:
    """TCP allows it when the kernel draws the target's own port for our end; a request would answer itself."""

    class Looped(socket.socket):
        def getpeername(self) -> tuple[str, int]:
            return ("127.0.0.1", 40_000)

        getsockname = getpeername

    guard = Guard(allow_loopback=True)
    connector = Connector(guard.check_url("http://127.0.0.1:40000/"), guard, timeout_s=1.0, tls=None)
    with Looped() as looped, pytest.raises(ConnectionRefusedError):
        connector._check_peer(looped)


async def test_an_address_that_refuses_gives_way_to_the_next(toxic: Toxic) -> None:
    port = (await toxic.serve(answer_all)).split(":")[2].split("/")[0]
    guard = Guard(allow_loopback=True, allow_http=True)
    outcomes = await open_to(Resolver(["127.0.0.9", "127.0.0.1"]), guard, f"http://two.example:{port}/")
    assert isinstance(outcomes[0], Connection)


async def test_a_refused_connection_is_told(make_sender: MakeSender) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        kind, detail = fault_of(await make_sender(f"http://127.0.0.1:{port}/secret?token=canary").send())
    assert (kind, detail) == (FaultKind.CONNECT, f"127.0.0.1 port {port}: Connection refused")


async def test_after_a_refusal_the_name_is_asked_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://down.example:{free.getsockname()[1]}/"
        resolver = Resolver(["127.0.0.1"])
        await open_to(resolver, Guard(allow_loopback=True, allow_http=True), url, times=2)
    assert resolver.asked == 2


async def test_a_name_that_does_not_resolve_is_told() -> None:
    resolver = Resolver(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    outcomes = await open_to(resolver, Guard(), "https://nowhere.example/")
    assert outcomes == [(FaultKind.DNS, "nowhere.example: Name or service not known")]


async def test_a_resolver_that_hangs_is_given_up_in_time_and_asked_by_one_at_a_time() -> None:
    class Hanging(Resolver):
        async def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
            self.asked += 1
            await asyncio.sleep(60)
            return []

    resolver = Hanging([])
    outcomes = await open_to(resolver, Guard(), "https://slow.example/", times=3, timeout_s=0.05)
    assert [kind for kind, _ in outcomes] == [FaultKind.TIMEOUT] * 3
    assert resolver.asked == 1


async def test_an_answer_without_addresses_is_told() -> None:
    outcomes = await open_to(Resolver([]), Guard(), "https://empty.example/")
    assert outcomes[0][0] is FaultKind.DNS


async def test_a_connection_that_does_not_come_is_given_up_in_time(make_sender: MakeSender) -> None:
    """A listener whose backlog is full drops what comes next."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        tried = make_sender(f"http://127.0.0.1:{full.getsockname()[1]}/", connect_timeout_s=0.2)
        kind, detail = fault_of(await tried.send())
    assert kind is FaultKind.TIMEOUT
    assert "0.2 s" in detail or "did not answer" in detail


async def test_proxies_of_the_environment_are_not_used(
    toxic: Toxic, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert isinstance(await make_sender(await toxic.serve(answer_all)).send(), Reply)


async def test_tls_by_our_own_authority(toxic: Toxic, make_sender: MakeSender, authority: Authority) -> None:
    url = await toxic.serve(answer_all, tls=authority.server_tls("127.0.0.1"))
    tried = make_sender(url, settings=SenderSettings(ca_file=authority.ca_file))
    for _ in range(3):
        assert isinstance(await tried.send(), Reply)
    assert toxic.connections == 1


async def test_tls_verifies_the_name_that_was_configured(
    toxic: Toxic, make_sender: MakeSender, authority: Authority
) -> None:
    url = await toxic.serve(answer_all, tls=authority.server_tls("localhost"))
    settings = SenderSettings(ca_file=authority.ca_file)
    assert isinstance(await make_sender(url.replace("127.0.0.1", "localhost"), settings=settings).send(), Reply)
    kind, detail = fault_of(await make_sender(url, settings=settings).send())
    assert kind is FaultKind.TLS
    assert "certificate refused" in detail


async def test_tls_by_an_unknown_authority_is_refused(
    toxic: Toxic, make_sender: MakeSender, authority: Authority
) -> None:
    url = await toxic.serve(answer_all, tls=authority.server_tls("127.0.0.1"))
    kind, detail = fault_of(await make_sender(url).send())
    assert kind is FaultKind.TLS
    assert "certificate refused" in detail


async def test_an_endpoint_that_speaks_no_tls_is_told(toxic: Toxic, make_sender: MakeSender) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    url = (await toxic.serve(behaviour)).replace("http:", "https:")
    assert fault_of(await make_sender(url).send())[0] is FaultKind.TLS


async def test_an_endpoint_that_never_ends_its_handshake_is_given_up_in_time(
    toxic: Toxic, make_sender: MakeSender
) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    url = (await toxic.serve(behaviour)).replace("http:", "https:")
    assert fault_of(await make_sender(url, connect_timeout_s=0.2).send())[0] is FaultKind.TIMEOUT


async def test_an_endpoint_that_closes_in_the_handshake_is_told(toxic: Toxic, make_sender: MakeSender) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    url = (await toxic.serve(behaviour)).replace("http:", "https:")
    assert fault_of(await make_sender(url).send())[0] is FaultKind.TLS


async def test_old_tls_is_refused(toxic: Toxic, make_sender: MakeSender, authority: Authority) -> None:
    context = authority.server_tls("127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    url = await toxic.serve(answer_all, tls=context)
    outcome = await make_sender(url, settings=SenderSettings(ca_file=authority.ca_file)).send()
    assert fault_of(outcome)[0] is FaultKind.TLS
