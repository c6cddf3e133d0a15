"""A connection over a transport that only remembers: what it says, when, and whether it lives on."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.webhook.transport import Connection, Memo

NO_CONTENT = b"HTTP/1.1 204 No Content\r\nkeep-alive: timeout=9\r\n\r\n"
FAILURE = b"HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy"


class Wire(asyncio.Transport):
    """Takes ``unsent`` bytes less than it was given; loses its connection when told to close."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.ended, self.unsent = b"", "", 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Told:
    """What the exchange and ``done`` were told, in order."""

    def __init__(self, memo: Memo | None = None) -> None:
        self.events: list[object] = []
        self.wire = Wire()
        self.connection = Connection(self, 1000, {} if memo is None else memo)
        self.connection.connection_made(self.wire)

    def ended(self, connection: Connection, now: float) -> None:
        assert connection.busy_since is None
        self.events.append("ended")

    def lost(self, connection: Connection) -> None:
        self.events.append("lost")

    def done(self, arg: object, outcome: Reply | Fault) -> None:
        self.events.append((arg, outcome.status if isinstance(outcome, Reply) else outcome.kind))

    def request(self, data: bytes = b"x", arg: object = "arg") -> None:
        self.connection.request(data, 0.0, self.done, arg)


def test_a_request_is_one_write() -> None:
    told = Told()
    told.request(b"POST / HTTP/1.1\r\n\r\n")
    assert told.wire.written == b"POST / HTTP/1.1\r\n\r\n"
    assert told.events == []


def test_the_connection_is_lent_out_again_before_the_outcome_is_told() -> None:
    told = Told()
    told.request()
    told.connection.data_received(NO_CONTENT)
    assert told.events == ["ended", ("arg", 204)]
    assert told.connection.reusable
    assert told.connection.keep_alive_s == 9.0


def test_a_reply_seen_before_is_known_by_its_bytes_and_means_the_same() -> None:
    memo: Memo = {}
    first, second = Told(memo), Told(memo)
    for told in (first, second, second):
        told.request()
        told.connection.data_received(NO_CONTENT)
    assert list(memo) == [NO_CONTENT]
    assert second.events == ["ended", ("arg", 204)] * 2
    assert (second.connection.keep_alive_s, second.connection.reusable) == (9.0, True)


@pytest.mark.parametrize(
    "reply",
    [
        FAILURE,
        b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
        NO_CONTENT + NO_CONTENT,
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 1000,
    ],
)
def test_only_small_clean_successes_are_remembered(reply: bytes) -> None:
    memo: Memo = {}
    told = Told(memo)
    told.request()
    told.connection.data_received(reply)
    assert memo == {}


def test_the_rest_of_a_reply_is_not_taken_for_one_that_was_seen() -> None:
    memo: Memo = {NO_CONTENT: (204, None)}
    told = Told(memo)
    told.request()
    told.connection.data_received(b"HTTP/1.1 500 No\r\ncontent-length: %d\r\n\r\n" % len(NO_CONTENT))
    told.connection.data_received(NO_CONTENT)
    assert told.events == ["ended", ("arg", 500)]


def test_replies_remembered_are_bounded() -> None:
    memo: Memo = {}
    told = Told(memo)
    for number in range(600):
        told.request()
        told.connection.data_received(b"HTTP/1.1 204 No Content\r\nx-request-id: %d\r\n\r\n" % number)
    assert len(memo) <= 256
    assert len(told.events) == 1200


def test_every_failure_keeps_its_excerpt() -> None:
    told, outcomes = Told(), list[Reply | Fault]()
    for _ in range(2):
        told.connection.request(b"x", 0.0, lambda _, outcome: outcomes.append(outcome), None)
        told.connection.data_received(FAILURE)
    kept = [(each.status, each.retry_after, each.excerpt) for each in outcomes if isinstance(each, Reply)]
    assert kept == [(503, "7", b"busy")] * 2


def test_bytes_nobody_asked_for_end_the_connection() -> None:
    told = Told()
    told.connection.data_received(NO_CONTENT)
    assert (told.wire.ended, told.connection.reusable, told.events) == ("aborted", False, [])


def test_a_second_reply_in_one_read_never_answers_the_next_request() -> None:
    told = Told()
    told.request()
    told.connection.data_received(NO_CONTENT + FAILURE)
    assert told.events == ["ended", ("arg", 204)]
    assert not told.connection.reusable
    assert told.wire.ended


def test_an_early_reply_to_a_large_request_ends_the_connection() -> None:
    told = Told()
    told.request(b"x" * 100_000)
    told.wire.unsent = 1
    told.connection.data_received(NO_CONTENT)
    assert told.events == ["ended", ("arg", 204)]
    assert (told.connection.reusable, told.wire.ended) == (False, "aborted")


@pytest.mark.parametrize(
    ("received", "outcome"),
    [(b"", FaultKind.RESET), (b"HTTP/1.1 2", FaultKind.RESET), (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", 200)],
)
@pytest.mark.parametrize("exc", [None, ConnectionResetError()])
def test_a_lost_connection_ends_its_request_once(received: bytes, outcome: object, exc: Exception | None) -> None:
    told = Told()
    told.request()
    if received:
        told.connection.data_received(received)
    told.connection.connection_lost(exc)
    assert told.events == ["ended", ("arg", outcome), "lost"]


def test_a_request_that_timed_out_is_not_ended_again_when_its_connection_goes() -> None:
    told = Told()
    told.request()
    told.connection.expire()
    told.connection.connection_lost(None)
    assert told.events == ["ended", ("arg", FaultKind.TIMEOUT), "lost"]
    assert told.wire.ended == "aborted"


def test_a_forgotten_request_ends_in_silence() -> None:
    told = Told()
    told.request()
    told.connection.forget()
    told.connection.connection_lost(None)
    assert told.events == ["ended", "lost"]


def test_garbage_is_a_protocol_fault_and_the_end() -> None:
    told = Told()
    told.request()
    told.connection.data_received(b"SSH-2.0-x\r\n")
    assert told.events == ["ended", ("arg", FaultKind.PROTOCOL)]
    assert (told.connection.reusable, told.wire.ended) == (False, "aborted")
