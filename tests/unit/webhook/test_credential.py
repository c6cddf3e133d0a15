"""Credential: one renewal for all that wait, a refused attempt repeated once and counted once."""

from __future__ import annotations

from typing import Any

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.record import Position
from pipeline.webhook.addresses import ConnectFailed
from pipeline.webhook.credential import Credential, Try
from tests.fakes.bridge import OK, eventually

REFUSED = Reply(401, None, 0.01)


class Token:
    def __init__(self, *, ready: bool = True, fails: bool = False) -> None:
        self.ready, self.fails, self.renewals, self.closed = ready, fails, 0, False

    def lines(self) -> bytes:
        return b"\r\nauthorization: Bearer t%d" % self.renewals

    def rejected(self, status: int) -> bool:
        return status == 401

    async def renew(self) -> None:
        if self.fails:
            raise ConnectFailed(FaultKind.DNS, "no token")
        self.renewals += 1
        self.ready = True

    def close(self) -> None:
        self.closed = True


class Writer:
    head = b"POST / HTTP/1.1"

    def write(self, content: Any, attempt: int, timestamp: bytes, origin: Position | None = None) -> bytes:
        return b"%b\r\nx: %d%b%b%d" % (self.head, attempt, timestamp, content, origin is None)


class Bench:
    def __init__(self, token: Token) -> None:
        self.sent: list[Try] = []
        self.outcomes: list[tuple[object, Reply | Fault]] = []
        self.credential = Credential(token, Writer(), send=self.sent.append, timeout_s=1.0)

    def begin(self, arg: object) -> None:
        self.credential.begin(Try(b"body", 1, lambda arg, outcome: self.outcomes.append((arg, outcome)), arg, None))


async def test_the_lines_stand_behind_the_head() -> None:
    written = Bench(Token()).credential.write(b"body", 1, b"7")
    assert written == b"POST / HTTP/1.1\r\nauthorization: Bearer t0\r\nx: 17body1"


async def test_nothing_is_sent_before_there_is_a_credential_and_all_wait_for_one_renewal() -> None:
    token = Token(ready=False)
    bench = Bench(token)
    bench.begin("a")
    bench.begin("b")
    assert bench.sent == []
    await eventually(lambda: len(bench.sent) == 2)
    assert token.renewals == 1


async def test_a_refused_credential_is_renewed_once_and_the_attempt_repeated() -> None:
    bench = Bench(Token())
    bench.begin("a")
    bench.credential.judge(bench.sent[0], REFUSED)
    assert bench.outcomes == []
    await eventually(lambda: len(bench.sent) == 2)
    bench.credential.judge(bench.sent[1], REFUSED)
    assert bench.outcomes == [("a", REFUSED)]


async def test_other_outcomes_are_told_as_they_are() -> None:
    bench = Bench(Token())
    bench.begin("a")
    bench.credential.judge(bench.sent[0], OK)
    assert bench.outcomes == [("a", OK)]


async def test_an_attempt_that_a_renewal_overtook_is_repeated_without_another() -> None:
    token = Token()
    bench = Bench(token)
    bench.begin("a")
    token.renewals = 1
    bench.credential.judge(bench.sent[0], REFUSED)
    assert (len(bench.sent), token.renewals) == (2, 1)


async def test_a_renewal_that_fails_leaves_the_refusal_or_is_a_fault() -> None:
    token = Token(fails=True)
    bench = Bench(token)
    bench.begin("a")
    bench.credential.judge(bench.sent[0], REFUSED)
    token.ready = False
    bench.begin("b")
    await eventually(lambda: len(bench.outcomes) == 2)
    outcomes = dict(bench.outcomes)
    fault = outcomes["b"]
    assert outcomes["a"] == REFUSED
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.detail) == (FaultKind.DNS, "no token")


async def test_what_waits_for_a_renewal_can_be_broken_off() -> None:
    token = Token(ready=False)
    bench = Bench(token)
    bench.begin("a")
    bench.begin("b")
    bench.credential.abort("a")
    await eventually(lambda: bool(bench.sent))
    assert [attempt.arg for attempt in bench.sent] == ["b"]
    bench.credential.close()
    assert token.closed
