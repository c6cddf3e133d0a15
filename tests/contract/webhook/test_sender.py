"""What a sender promises towards an endpoint that behaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.receiver import Receiver, ReceiverSettings
from pipeline.record import Position
from pipeline.signing import new_v1_secret
from pipeline.webhook.sender import SenderSettings
from pipeline.webhook.transport import Connection
from tests.contract.webhook.conftest import KEY, NO_CONTENT, MakeSender, Toxic, read_request, record


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(NO_CONTENT)


async def test_many_deliveries_share_few_connections(toxic: Toxic, make_sender: MakeSender) -> None:
    tried = make_sender(await toxic.serve(answer_all), settings=SenderSettings(connections_max=4))
    futures = [tried.begin(record(offset), offset) for offset in range(200)]
    for outcome in await asyncio.gather(*futures):
        assert isinstance(outcome, Reply)
        assert outcome.status == 204
    assert 1 <= toxic.connections <= 4
    assert sorted(arg for arg, _ in tried.outcomes if isinstance(arg, int)) == list(range(200))


async def test_one_after_the_other_uses_one_connection(toxic: Toxic, make_sender: MakeSender) -> None:
    tried = make_sender(await toxic.serve(answer_all))
    for _ in range(20):
        assert isinstance(await tried.send(), Reply)
    assert toxic.connections == 1


async def test_a_done_may_send_the_next_at_once(toxic: Toxic, make_sender: MakeSender) -> None:
    tried = make_sender(await toxic.serve(answer_all))
    finished = asyncio.get_running_loop().create_future()

    def next_one(left: int, outcome: Reply | Fault) -> None:
        assert isinstance(outcome, Reply)
        if left:
            tried.sender.send(record(), 1, next_one, left - 1)
        else:
            finished.set_result(None)

    tried.sender.send(record(), 1, next_one, 50)
    await asyncio.wait_for(finished, 5)
    assert toxic.connections == 1


async def test_the_receiver_gets_what_was_sent_and_it_verifies(make_sender: MakeSender) -> None:
    receiver = Receiver(
        [new_v1_secret(KEY)],
        settings=ReceiverSettings(poison=frozenset({"evt_aaaaaaaaaa_0_7"})),
        wall_clock=lambda: 1_795_219_200.0,
    )
    tried = make_sender(await receiver.start() + "/hook")
    statuses = []
    for offset in (6, 7):
        outcome = await tried.send(record(offset))
        assert isinstance(outcome, Reply)
        statuses.append(outcome.status)
    await tried.begin(record(8), None, 2, Position("orders", 5, 99))
    await receiver.stop()
    assert statuses == [204, 500]
    assert [(each.id, each.key, each.seq, each.attempt, each.status) for each in receiver.history] == [
        ("evt_aaaaaaaaaa_0_6", "k", 6, 1, 204),
        ("evt_aaaaaaaaaa_0_7", "k", 7, 1, 500),
        ("evt_aaaaaaaaaa_5_99", "k", 99, 2, 204),
    ]


async def test_a_large_body_arrives_whole(toxic: Toxic, make_sender: MakeSender) -> None:
    got = asyncio.get_running_loop().create_future()

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result((await read_request(reader))[1])
        writer.write(NO_CONTENT)
        await reader.read()

    body = bytes(range(256)) * 8192
    tried = make_sender(await toxic.serve(behaviour))
    assert isinstance(await tried.send(record(0, body)), Reply)
    assert await got == body


async def test_what_cannot_be_written_is_undecodable_and_the_connection_serves_on(
    toxic: Toxic, make_sender: MakeSender
) -> None:
    tried = make_sender(await toxic.serve(answer_all))
    broken = record().__class__("orders", 0, 1, 0, None, b"", (("ce_x", b"\xff"),))
    for _ in range(2):  # first while no connection is open, then on an idle one
        outcome = await tried.send(broken)
        assert isinstance(outcome, Fault)
        assert (outcome.kind, outcome.detail) == (FaultKind.UNDECODABLE, "header ce_x is not UTF-8")
        assert isinstance(await tried.send(), Reply)
    assert toxic.connections == 1


async def test_an_aborted_attempt_ends_in_silence_and_others_go_on(toxic: Toxic, make_sender: MakeSender) -> None:
    release = asyncio.Event()

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await release.wait()
        writer.write(NO_CONTENT)
        await reader.read()

    tried = make_sender(await toxic.serve(behaviour), settings=SenderSettings(connections_max=2))
    on_wire, kept, in_line = object(), object(), object()
    futures = [tried.begin(record(), arg) for arg in (on_wire, kept, in_line)]
    await toxic.connected(2)
    tried.sender.abort(on_wire)
    tried.sender.abort(in_line)
    tried.sender.abort(object())
    release.set()
    assert isinstance(await futures[1], Reply)
    assert [arg for arg, _ in tried.outcomes] == [kept]


async def test_after_abort_all_nobody_is_told_and_nothing_is_sent(toxic: Toxic, make_sender: MakeSender) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    tried = make_sender(
        await toxic.serve(hang), timeout_s=0.3, connect_timeout_s=0.3, settings=SenderSettings(connections_max=2)
    )
    for _ in range(5):
        tried.begin(record())
    await toxic.connected(2)
    tried.sender.abort_all()
    tried.begin(record())
    await tried.sender.close()
    await asyncio.sleep(0.5)
    assert tried.outcomes == []
    assert toxic.connections == 2


async def test_a_sender_closed_while_connecting_is_quiet(toxic: Toxic, make_sender: MakeSender) -> None:
    tried = make_sender(await toxic.serve(answer_all))
    tried.begin(record())
    await tried.sender.close()
    assert tried.outcomes == []


async def test_an_idle_connection_is_closed_before_the_server_would(toxic: Toxic, make_sender: MakeSender) -> None:
    closed = asyncio.get_running_loop().create_future()

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(NO_CONTENT)
        closed.set_result(await reader.read())

    tried = make_sender(
        await toxic.serve(behaviour), timeout_s=0.6, connect_timeout_s=0.6, settings=SenderSettings(idle_s=0.05)
    )
    await tried.send()
    assert await asyncio.wait_for(closed, 2) == b""


async def test_a_server_that_promises_no_keep_alive_is_not_reused(toxic: Toxic, make_sender: MakeSender) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 204 No Content\r\nkeep-alive: timeout=1\r\n\r\n")

    tried = make_sender(await toxic.serve(behaviour))
    for _ in range(3):
        assert isinstance(await tried.send(), Reply)
    assert toxic.connections == 3


async def test_what_waits_too_long_for_a_connection_is_told_so(toxic: Toxic, make_sender: MakeSender) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.sleep(60)

    settings = SenderSettings(connections_max=1)
    tried = make_sender(await toxic.serve(hang), timeout_s=0.3, connect_timeout_s=0.3, settings=settings)
    first, second = await asyncio.gather(tried.begin(record()), tried.begin(record()))
    assert isinstance(first, Fault)
    assert isinstance(second, Fault)
    assert (first.detail, second.detail) == ("no reply", "no connection became free")


async def test_a_connection_that_died_while_it_was_opened_is_one_attempts_fault(make_sender: MakeSender) -> None:
    class Stillborn:
        def close(self) -> None: ...

        async def open(self, factory: Callable[[], Connection]) -> Connection:
            return factory()

    tried = make_sender("http://127.0.0.1:1024/")
    tried.sender._connector = Stillborn()  # type: ignore[assignment] # real sockets die too late for this
    outcome = await tried.send()
    assert isinstance(outcome, Fault)
    assert (outcome.kind, outcome.detail) == (FaultKind.RESET, "the connection was closed before a request")
