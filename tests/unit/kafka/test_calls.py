"""Requests and their answers: what is asked again, what a time-out does, what closing does. No broker is there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

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
