"""Requests and their answers: what is asked again, what a time-out does, what closing does. No broker is there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from pipeline.errors import BrokerUnavailable
from pipeline.kafka.calls import AdminCalls
from pipeline.kafka.client import KafkaSettings


@pytest.fixture
async def calls() -> AsyncIterator[AdminCalls]:
    """Requests have a second in all, a third of it each."""
    made = AdminCalls(KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_s=1.0), "test")
    yield made
    made.close()


def answer(value: object) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


def failed(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


class Places:
    """An answer about partitions, one of which ended with an error."""

    def __init__(self, code: int | None) -> None:
        self.error = None if code is None else KafkaError(code)
        self.topic_partitions = [self]


async def test_results_and_errors_come_as_values(calls: AdminCalls) -> None:
    error = failed(KafkaError.TOPIC_ALREADY_EXISTS)
    assert await calls.ask(lambda _: {"a": answer(1), "b": answer(error)}) == {"a": 1, "b": error}


async def test_answers_from_another_thread_arrive(calls: AdminCalls) -> None:
    futures: dict[int, Future[Any]] = {number: Future() for number in range(100)}

    def settle() -> None:
        for number, future in futures.items():
            future.set_result(number)

    threading.Thread(target=settle).start()
    assert await calls.ask(lambda _: futures) == {number: number for number in range(100)}


@pytest.mark.parametrize(
    "first",
    [
        failed(KafkaError.COORDINATOR_NOT_AVAILABLE),
        failed(KafkaError._DESTROY),
        failed(KafkaError._DESTROY_BROKER),
        Places(KafkaError.NOT_COORDINATOR),
        Places(KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
    ],
)
async def test_what_is_moving_is_asked_again(calls: AdminCalls, first: object) -> None:
    answers = [first, "there"]
    assert await calls.ask(lambda _: {"a": answer(answers.pop(0))}) == {"a": "there"}


async def test_what_is_refused_is_not_asked_again(calls: AdminCalls) -> None:
    refused = Places(KafkaError.UNKNOWN_MEMBER_ID)
    answers: list[object] = [refused]
    assert await calls.ask(lambda _: {"a": answer(answers.pop(0))}) == {"a": refused}


async def test_no_answer_is_a_time_out_and_each_try_has_a_client_of_its_own(calls: AdminCalls) -> None:
    clients: list[AdminClient] = []

    def never(client: AdminClient) -> dict[str, Future[Any]]:
        clients.append(client)
        return {"a": Future()}

    began = asyncio.get_running_loop().time()
    result = (await calls.ask(never))["a"]
    assert result.args[0].code() == KafkaError._TIMED_OUT
    assert "no answer in 1 s" in str(result)
    assert asyncio.get_running_loop().time() - began < 1.5
    assert len(set(map(id, clients))) == len(clients) >= 2


async def test_a_late_answer_is_dropped(calls: AdminCalls) -> None:
    late: Future[Any] = Future()
    await calls.ask(lambda _: {"a": late})
    late.set_result(1)
    assert await calls.ask(lambda _: {"a": answer(2)}) == {"a": 2}


async def test_nothing_is_asked_of_a_closed_client(calls: AdminCalls) -> None:
    calls.close()
    calls.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        await calls.ask(lambda _: {"a": answer(1)})


class Leaders:
    """An admin client that is asked for offsets; ``most``: how many requests it had at once."""

    def __init__(self) -> None:
        self.at_once = self.most = self.asked = 0
        self.fails: Exception | None = None
        self.begun = asyncio.Event()

    def list_offsets(self, wanted: dict[TopicPartition, Any], **_: object) -> dict[TopicPartition, Future[Any]]:
        self.asked += 1
        self.begun.set()
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        futures: dict[TopicPartition, Future[Any]] = {place: Future() for place in wanted}
        asyncio.get_running_loop().call_later(0.01, self._settle, list(futures.values()))
        return futures

    def _settle(self, futures: list[Future[Any]]) -> None:
        self.at_once -= 1
        for future in futures:
            if self.fails is None:
                future.set_result(7)
            else:
                future.set_exception(self.fails)

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def leaders(calls: AdminCalls, monkeypatch: pytest.MonkeyPatch) -> Leaders:
    client = Leaders()
    monkeypatch.setattr(calls, "_client", client)
    return client


async def offsets_of(calls: AdminCalls, *topics: str) -> list[Any]:
    """What each of as many requests at once is answered."""
    wanted = [{TopicPartition(topic, 0): OffsetSpec.latest()} for topic in topics]  # type: ignore[no-untyped-call]  # not typed
    asked = [calls.list_offsets(one, IsolationLevel.READ_UNCOMMITTED) for one in wanted]
    return [next(iter(answers.values())) for answers in await asyncio.gather(*asked)]


async def test_leaders_are_looked_for_by_one_request_at_a_time(calls: AdminCalls, leaders: Leaders) -> None:
    assert await offsets_of(calls, "a", "a", "b", "c") == [7] * 4
    assert (leaders.most, leaders.asked) == (1, 4)


async def test_where_leaders_are_known_requests_do_not_wait_for_each_other(calls: AdminCalls, leaders: Leaders) -> None:
    await offsets_of(calls, "a")
    assert await offsets_of(calls, *"aaa") == [7] * 3
    assert leaders.most == 3


async def test_leaders_are_not_known_any_more_once_a_request_failed(calls: AdminCalls, leaders: Leaders) -> None:
    await offsets_of(calls, "a")
    leaders.fails = failed(KafkaError.UNKNOWN_TOPIC_OR_PART)
    await offsets_of(calls, "a")
    assert await offsets_of(calls, "a", "a") == [leaders.fails] * 2
    assert leaders.most == 1


async def test_a_turn_lasts_until_its_request_has_ended_whoever_waits_for_it(
    calls: AdminCalls, leaders: Leaders
) -> None:
    first = asyncio.create_task(offsets_of(calls, "a"))
    await leaders.begun.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await offsets_of(calls, "b") == [7]
    assert (leaders.most, leaders.asked) == (1, 2)


async def test_who_waits_too_long_for_its_turn_is_told_so(calls: AdminCalls, leaders: Leaders) -> None:
    turn = calls._finding
    await turn.acquire()
    with pytest.raises(BrokerUnavailable, match=r"offsets of a: .*no answer in 1 s"):
        await offsets_of(calls, "a")
    turn.release()
    assert leaders.asked == 0
    assert await offsets_of(calls, "a") == [7]


async def test_a_new_client_finds_leaders_one_request_at_a_time_again(
    calls: AdminCalls, leaders: Leaders, monkeypatch: pytest.MonkeyPatch
) -> None:
    await offsets_of(calls, "a")
    afresh = Leaders()
    leaders.begun.clear()
    leaders.fails = failed(KafkaError._DESTROY)
    asked = asyncio.gather(*(offsets_of(calls, "a") for _ in range(3)))
    await leaders.begun.wait()
    monkeypatch.setattr(calls, "_client", afresh)
    calls._led.clear()
    assert await asked == [[7]] * 3
    assert (leaders.most, afresh.most) == (3, 1)
