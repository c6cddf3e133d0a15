"""What is called beside deliveries: guarded, bounded, never redirected, through the egress proxy where there is one."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import msgspec
import pytest

from pipeline.delivery.verdict import Reply
from pipeline.errors import AddressBlocked, CallFailed, DeclarationInvalid, HandshakeRefused
from pipeline.guard import Guard
from pipeline.subscription import BearerAuth, Endpoint, OAuth2Auth, StoredSubscription, Subscription
from pipeline.webhook.addresses import ConnectFailed
from pipeline.webhook.admission import Admission
from pipeline.webhook.handshake import Granted, handshake
from pipeline.webhook.oauth2 import ClientCredentials
from pipeline.webhook.outbound import Outbound
from pipeline.webhook.proxy import Proxy, proxy_from
from pipeline.webhook.sender import SenderSettings
from tests.contract.webhook.conftest import NO_CONTENT, Behaviour, MakeSender, Toxic, read_request
from tests.contract.webhook.test_connecting import Resolver

LOOPBACK = Guard(allow_loopback=True, allow_http=True)
CANARY = "canary-5ecret"


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def saying(*answers: bytes, heard: list[bytes] | None = None) -> Behaviour:
    """Each connection gets the next answer; the last one for ever."""
    left = list(answers)

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await head_of(reader)
        length = int((head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) or b"0")
        if heard is not None:
            heard.append(head + await reader.readexactly(length))
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    return behaviour


def reply(status: int, body: bytes = b"", *lines: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *lines])
    return head.encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (reply(200, b"ok"), b"ok"),
        (b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 X\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 100 C\r\n\r\n" + reply(204), b""),
    ],
)
async def test_an_answer_is_read_whole(toxic: Toxic, answer: bytes, body: bytes) -> None:
    assert (await Outbound(LOOPBACK).call("GET", await toxic.serve(saying(answer)))).body == body


async def test_a_redirect_is_an_answer_and_not_followed(toxic: Toxic) -> None:
    """S4, S9: 302 to a metadata service goes nowhere."""
    url = await toxic.serve(saying(reply(302, b"", "location: http://169.254.169.254/latest")))
    answer = await Outbound(LOOPBACK).call("GET", url)
    assert (answer.status, answer.headers["location"], toxic.connections) == (302, "http://169.254.169.254/latest", 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(200, b"x" * 2000), "more than 1000"),
        (reply(200, gzip.compress(bytes(5_000_000)), "content-encoding: gzip"), "compressed"),
        (b"HTTP/1.1 200 X\r\nx: " + b"a" * 1_000_000, "head is over"),
        (b"HTTP/1.1 100 C\r\n\r\n" * 1000, "interim"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\ncut", "ended before"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (b"", "ended before"),
    ],
)
async def test_an_answer_that_is_a_weapon_fails_the_call(toxic: Toxic, answer: bytes, why: str) -> None:
    """S10: bombs, endless heads and bodies."""
    url = await toxic.serve(saying(answer))
    with pytest.raises(CallFailed, match=why):
        await Outbound(LOOPBACK).call("GET", url, body_bytes_max=1000)


async def test_an_answer_a_byte_a_second_is_given_up_in_time(toxic: Toxic) -> None:
    """S10."""

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    with pytest.raises(CallFailed, match=r"no answer within 0\.3 s"):
        await Outbound(LOOPBACK).call("GET", await toxic.serve(behaviour), timeout_s=0.3)


@pytest.mark.parametrize("answers", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["fd00::1"], ["::ffff:169.254.169.254"]])
async def test_every_other_fetcher_is_guarded_by_address(answers: list[str]) -> None:
    """S2, S9: one private answer refuses the call."""
    with pytest.raises(AddressBlocked):
        await Outbound(Guard(), resolve=Resolver(answers)).call("GET", "https://tokens.example/")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "https://169.254.169.254/", "file:///etc/passwd", "https://127.1/"]
)
async def test_a_literal_is_judged_though_no_resolver_is_asked(url: str) -> None:
    """S5, S6, S7."""
    with pytest.raises(AddressBlocked):
        await Outbound(Guard()).call("GET", url)


async def test_own_listeners_are_refused_though_their_network_is_open(toxic: Toxic) -> None:
    """S7, self-connection: by address and port, under a name too."""
    url = await toxic.serve(saying(reply(200)))
    port = int(url.split(":")[2].split("/")[0])
    guard = Guard(["127.0.0.0/8"], allow_loopback=True, allow_http=True)
    guard.deny([("0.0.0.0", port)])  # noqa: S104 - a gateway's listener on all addresses
    for host, resolve in (("127.0.0.1", None), ("127.0.0.9", None), ("mine.example", Resolver(["127.0.0.1"]))):
        with pytest.raises(AddressBlocked, match="this very system"):
            await Outbound(guard, resolve=resolve).call("GET", f"http://{host}:{port}/")
    assert toxic.connections == 0


# -- the egress proxy ------------------------------------------------------------------------------------------------


def proxying(heard: list[bytes], answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n") -> Behaviour:
    """Answers CONNECT, then stands in for the endpoint; anything else it takes as a request to forward."""

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (head := await head_of(reader)).startswith(b"CONNECT"):
            heard.append(head)
            writer.write(answer)
            head = await head_of(reader)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        heard.append(head)
        writer.write(NO_CONTENT)
        await reader.read()

    return behaviour


async def proxy_at(toxic: Toxic, behaviour: Behaviour, *, resolves: bool) -> Proxy:
    made = proxy_from(
        (await toxic.serve(behaviour)).removesuffix("/hook").replace("//", "//me:p%40ss@"), resolves=resolves
    )
    assert made is not None
    assert "p@ss" not in repr(made)
    return made


async def test_a_proxy_is_told_an_address_that_was_judged(toxic: Toxic, make_sender: MakeSender) -> None:
    """S8: the operator's proxy; resolving and judging stay here."""
    heard: list[bytes] = []
    proxy = await proxy_at(toxic, proxying(heard), resolves=False)
    tried = make_sender("http://localhost:8099/x", settings=SenderSettings(proxy=proxy))
    assert isinstance(await tried.send(), Reply)
    assert heard[0].startswith((b"CONNECT 127.0.0.1:8099 HTTP/1.1\r\n", b"CONNECT [::1]:8099 HTTP/1.1\r\n"))
    assert b"\r\nproxy-authorization: Basic bWU6cEBzcw==\r\n" in heard[0]
    assert heard[1].startswith(b"POST /x HTTP/1.1\r\nhost: localhost:8099\r\n")
    assert b"proxy-authorization" not in heard[1]


async def test_a_proxy_that_resolves_is_told_the_name_in_absolute_form(toxic: Toxic, make_sender: MakeSender) -> None:
    heard: list[bytes] = []
    proxy = await proxy_at(toxic, proxying(heard), resolves=True)
    guard = Guard(allow_http=True)
    tried = make_sender("http://nowhere.invalid:8099/x", guard=guard, settings=SenderSettings(proxy=proxy))
    assert isinstance(await tried.send(), Reply)
    assert heard[0].startswith(b"POST http://nowhere.invalid:8099/x HTTP/1.1\r\nhost: nowhere.invalid:8099\r\n")
    assert b"\r\nproxy-authorization: Basic bWU6cEBzcw==\r\n" in heard[0]


async def test_behind_a_proxy_a_blocked_literal_is_still_blocked(toxic: Toxic) -> None:
    """S1, S8."""
    proxy = await proxy_at(toxic, proxying([]), resolves=True)
    with pytest.raises(AddressBlocked):
        await Outbound(Guard(), proxy=proxy).call("GET", "https://169.254.169.254/")
    assert toxic.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        reply(407),
        b"HTTP/1.1 200 X\r\n\r\nHTTP/1.1 204 smuggled\r\n\r\n",
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 X\r\nx: " + b"a" * 50_000,
    ],
)
async def test_a_proxy_that_does_not_open_a_tunnel_fails_the_call(toxic: Toxic, answer: bytes) -> None:
    proxy = await proxy_at(toxic, saying(answer), resolves=False)
    with pytest.raises(CallFailed, match="the proxy"):
        await Outbound(Guard(), proxy=proxy).call("GET", "https://8.8.8.8/")


@pytest.mark.parametrize("url", ["https://proxy:3128", "proxy:3128", "http://proxy/path", "http://u:canary@pro xy:1"])
def test_a_proxy_url_that_is_none_is_refused_without_its_credentials(url: str) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        proxy_from(url, resolves=False)
    assert "canary" not in str(caught.value)
    assert caught.value.field == "webhook.proxy_url"


# -- OAuth2 client credentials ---------------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def credentials(url: str, clock: Callable[[], float]) -> ClientCredentials:
    auth = OAuth2Auth(token_url=url, client_id="me:1", scope="send events", audience="https://a/b")
    return ClientCredentials(auth, CANARY, Outbound(LOOPBACK), clock=clock, fixed=b"\r\nx-fixed: 1")


def token(text: str, more: str = "") -> bytes:
    return reply(200, b'{"access_token":"%b","token_type":"bearer"%b}' % (text.encode(), more.encode()))


async def test_a_token_is_asked_for_once_by_many_and_until_it_nearly_ends(toxic: Toxic) -> None:
    """RFC 6749 §4.4: the request, and one for all who wait."""
    heard: list[bytes] = []
    clock = Clock()
    url = await toxic.serve(saying(token("t1", ',"expires_in":100'), token("t2"), heard=heard))
    made = credentials(url, clock)
    assert not made.ready
    await asyncio.gather(*(made.renew() for _ in range(50)))
    assert (made.ready, made.lines()) == (True, b"\r\nx-fixed: 1\r\nauthorization: Bearer t1")
    assert len(heard) == 1
    assert b"\r\nauthorization: Basic bWUlM0ExOmNhbmFyeS01ZWNyZXQ=\r\n" in heard[0]
    assert heard[0].endswith(b"grant_type=client_credentials&scope=send+events&audience=https%3A%2F%2Fa%2Fb")
    clock.now += 89
    assert made.ready
    clock.now += 2
    assert not made.ready
    await made.renew()
    assert made.lines().endswith(b"Bearer t2")


async def test_a_401_asks_for_another_token_but_not_for_one_just_made(toxic: Toxic) -> None:
    clock = Clock()
    made = credentials(await toxic.serve(saying(token("t1"), token("t2"))), clock)
    await made.renew()
    assert made.rejected(401) and not made.rejected(403) and not made.rejected(500)
    await made.renew()
    assert made.lines().endswith(b"t1")
    clock.now += 11
    await made.renew()
    assert made.lines().endswith(b"t2")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(401, b'{"error":"invalid_client","error_description":"canary-5ecret"}'), "answered 401: invalid_client"),
        (reply(400, b'{"error":"canary-5ecret!"}'), "answered 400"),
        (reply(500, b"<html>canary-5ecret"), "answered 500"),
        (reply(302, b"", "location: https://x/?canary-5ecret"), "answered 302"),
        (reply(200, b"{}"), "without an access_token"),
        (token(r"a\r\nx: y"), "without an access_token"),
        (reply(200, b'{"access_token":"t","token_type":"mac"}'), "no bearer token"),
        (b"", "ended before"),
    ],
)
async def test_a_token_that_is_not_given_is_a_fault_without_secrets(toxic: Toxic, answer: bytes, said: str) -> None:
    made = credentials(await toxic.serve(saying(answer)), Clock())
    with pytest.raises(ConnectFailed, match=said) as caught:
        await made.renew()
    assert CANARY not in caught.value.detail
    assert caught.value.kind.value == "credential"
    with pytest.raises(ConnectFailed):
        await made.renew()
    assert toxic.connections == 1, "a token endpoint that fails is left alone for a while"


async def test_a_token_endpoint_that_is_private_is_not_called() -> None:
    """S9: the token URL goes through the same guard."""
    auth = OAuth2Auth(token_url="https://tokens.example/", client_id="me")
    made = ClientCredentials(auth, CANARY, Outbound(Guard(), resolve=Resolver(["10.0.0.1"])), clock=Clock())
    with pytest.raises(ConnectFailed, match="may not be called"):
        await made.renew()


async def test_a_delivery_waits_for_its_token_and_a_401_is_repeated_once(toxic: Toxic, make_sender: MakeSender) -> None:
    clock, seen = Clock(), []

    async def endpoint(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            seen.append(head.partition(b"authorization: Bearer ")[2].partition(b"\r\n")[0])
            writer.write(NO_CONTENT if seen[-1] == b"t2" else reply(401))

    made = credentials(await toxic.serve(saying(token("t1"), token("t2"))), clock)
    tried = make_sender(await toxic.serve(endpoint), authorization=made)
    first = await tried.send()
    assert isinstance(first, Reply) and first.status == 401  # t1 was made for this very attempt
    clock.now += 11
    second = await tried.send()
    assert isinstance(second, Reply) and second.status == 204
    assert seen[0] == b"t1" and seen[-1] == b"t2"


# -- the handshake ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "granted"),
    [
        (("WebHook-Allowed-Origin: events.example", "WebHook-Allowed-Rate: 120"), Granted(120)),
        (("webhook-allowed-origin: *", "webhook-allowed-rate: *"), Granted(None)),
        (("webhook-allowed-origin: EVENTS.example",), Granted(None)),
    ],
)
async def test_a_handshake_is_granted_by_headers(toxic: Toxic, lines: tuple[str, ...], granted: Granted) -> None:
    """CloudEvents webhook §4; a 405 with the right headers is a grant."""
    heard: list[bytes] = []
    url = await toxic.serve(saying(reply(405, b"", *lines), heard=heard))
    assert await handshake(Outbound(LOOPBACK), Endpoint(url=url), "events.example", 2.5) == granted
    assert heard[0].startswith(b"OPTIONS /hook HTTP/1.1\r\n")
    assert b"\r\nwebhook-request-origin: events.example\r\nwebhook-request-rate: 150\r\n" in heard[0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(200), "did not agree"),
        (reply(200, b"", "webhook-allowed-origin: other.example"), "another origin"),
        (reply(200, b"", "webhook-allowed-origin: *", "webhook-allowed-rate: 0"), "Allowed-Rate"),
        (reply(200, b"", "webhook-allowed-origin: *", "webhook-allowed-rate: lots"), "Allowed-Rate"),
        (b"", "did not answer"),
    ],
)
async def test_a_handshake_that_is_not_granted_is_refused(toxic: Toxic, answer: bytes, why: str) -> None:
    url = await toxic.serve(saying(answer))
    with pytest.raises(HandshakeRefused, match=why):
        await handshake(Outbound(LOOPBACK), Endpoint(url=url), "events.example", None)


# -- before a subscription is stored ---------------------------------------------------------------------------------


def declared(url: str, **endpoint: object) -> Subscription:
    return Subscription(name="s", topics=("orders",), endpoint=Endpoint(url=url, **endpoint))  # type: ignore[arg-type] # as given


@pytest.mark.parametrize("answers", [["10.0.0.1"], ["8.8.8.8", "169.254.169.254"]])
async def test_a_name_that_leads_inside_is_refused_when_it_is_declared(answers: list[str]) -> None:
    """S2: at create and edit, for the endpoint and its token URL."""
    admission = Admission(Guard(), Outbound(Guard()), resolve=Resolver(answers))
    with pytest.raises(AddressBlocked):
        await admission.admit(declared("https://hook.example/"))
    with pytest.raises(AddressBlocked):
        auth = OAuth2Auth(token_url="https://tokens.example/", client_id="me", client_secret="x")
        await admission.admit(declared("https://8.8.8.8/", auth=auth))


async def test_a_name_that_cannot_be_looked_up_now_may_be_declared() -> None:
    admission = Admission(Guard(), Outbound(Guard()), resolve=Resolver(OSError("no resolver")))
    assert await admission.admit(declared("https://later.example/")) is None


async def test_a_handshake_needs_an_origin_and_gives_the_rate(toxic: Toxic) -> None:
    url = await toxic.serve(saying(reply(200, b"", "webhook-allowed-origin: *", "webhook-allowed-rate: 60")))
    spec = declared(url, handshake=True)
    with pytest.raises(DeclarationInvalid, match=r"webhook\.origin"):
        await Admission(LOOPBACK, Outbound(LOOPBACK)).admit(spec)
    assert await Admission(LOOPBACK, Outbound(LOOPBACK), origin="events.example").admit(spec) == 60


async def test_a_handshake_carries_what_deliveries_would_and_is_asked_for_once(toxic: Toxic) -> None:
    heard: list[bytes] = []
    answer = reply(200, b"", "webhook-allowed-origin: *", "webhook-allowed-rate: 60")
    url = await toxic.serve(saying(answer, heard=heard))
    admission = Admission(LOOPBACK, Outbound(LOOPBACK), origin="events.example")
    given = {"handshake": True, "headers": {"x-team": "a"}}
    spec = declared(url, auth=BearerAuth(token="t0"), secret_headers={"x-more": "b"}, **given)
    assert await admission.admit(spec) == 60
    for line in (b"authorization: Bearer t0", b"x-more: b", b"x-team: a", b"webhook-request-origin: events.example"):
        assert heard[0].count(b"\r\n" + line + b"\r\n") == 1
    stored = declared(url, auth=BearerAuth(), secret_headers={"x-more": ""}, **given)
    assert await admission.admit(spec, StoredSubscription(spec=stored, allowed_rate_per_min=60)) == 60
    assert len(heard) == 1


async def test_a_handshake_is_asked_for_with_a_token_where_deliveries_carry_one(toxic: Toxic) -> None:
    heard: list[bytes] = []
    url = await toxic.serve(saying(reply(200, b"", "webhook-allowed-origin: *"), heard=heard))
    auth = OAuth2Auth(token_url=await toxic.serve(saying(token("t1"))), client_id="me", client_secret=CANARY)
    admission = Admission(LOOPBACK, Outbound(LOOPBACK), origin="events.example")
    assert await admission.admit(declared(url, handshake=True, auth=auth)) is None
    assert b"\r\nauthorization: Bearer t1\r\n" in heard[0]
    refusing = msgspec.structs.replace(auth, token_url=await toxic.serve(saying(reply(400))))
    with pytest.raises(HandshakeRefused, match="no credential") as refused:
        await admission.admit(declared(url, handshake=True, auth=refusing))
    assert CANARY not in str(refused.value)
