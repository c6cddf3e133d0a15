"""What users' tests are given: it verifies, it waits for facts, and it is judged by an independent library."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka.admin import AdminClient
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from pipeline import verify
from pipeline.signing import new_v1_secret
from pipeline.testing import WebhookReceiver, local_kafka, signed_headers
from pipeline.verify import HistoryWriter, read_history

SECRET = new_v1_secret(b"s" * 32)
OTHER = new_v1_secret(b"o" * 32)


def test_signed_headers_pass_an_independent_library() -> None:
    Webhook(SECRET).verify(b'{"a":1}', signed_headers(SECRET, b'{"a":1}'))


def test_signed_headers_of_another_body_do_not() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b'{"a":2}', signed_headers(SECRET, b'{"a":1}'))


async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as response:
        return response.status


async def test_a_verified_delivery_is_waited_for() -> None:
    async with WebhookReceiver(SECRET) as receiver:
        waiting = asyncio.create_task(receiver.wait_for(1))
        headers = {**signed_headers(SECRET, b"{}", webhook_id="evt_a_0_7"), "ce-partitionkey": "42"}
        assert await post(receiver.url, b"{}", headers) == 204
        delivery = (await waiting)[0]
    assert (delivery.id, delivery.key) == ("evt_a_0_7", "42")


async def test_waiting_in_vain_tells_what_came_instead() -> None:
    async with WebhookReceiver(OTHER) as receiver:
        await post(receiver.url, b"{}", signed_headers(SECRET, b"{}"))
        with pytest.raises(TimeoutError, match=r"wanted 1 deliveries in 0\.01 s; answered 1 × 401; webhook-signature"):
            await receiver.wait_for(1, timeout_s=0.01)


async def test_a_secret_may_be_trusted_later() -> None:
    async with WebhookReceiver() as receiver:
        assert await post(receiver.url, b"", signed_headers(SECRET, b"")) == 401
        receiver.trust(SECRET)
        assert await post(receiver.url, b"", signed_headers(SECRET, b"")) == 204
        assert len(receiver.deliveries) == 1
        assert len(receiver.history) == 2


def test_a_broker_of_yours_is_used_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_BOOTSTRAP_SERVERS", "broker.example:9092")
    with local_kafka() as servers:
        assert servers == "broker.example:9092"


@pytest.mark.kafka
def test_a_local_kafka_serves_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jgo")
    monkeypatch.delenv("PIPELINE_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with local_kafka() as servers:
        assert os.listdir(tmp_path)  # noqa: PTH208 - names alone
        assert AdminClient({"bootstrap.servers": servers, "log_level": 0}).list_topics(timeout=10).brokers
    assert not list(tmp_path.iterdir())


async def test_every_answer_is_written_down_for_verify(tmp_path: Path) -> None:
    record = HistoryWriter(tmp_path / "h", "receiver", lambda: 1.0)
    async with WebhookReceiver(SECRET, record=record) as receiver:
        for sent in (
            signed_headers(SECRET, b"{}", webhook_id="evt_abcdefghij_0_7"),
            signed_headers(OTHER, b"{}", webhook_id="evt_abcdefghij_0_8"),
            signed_headers(SECRET, b"{}", webhook_id="somebody-elses"),
        ):
            await post(receiver.url, b"{}", {**sent, "ce-partitionkey": "42"})
    record.close()
    assert list(read_history(tmp_path / "h")) == [
        verify.Received(at=1.0, by="receiver", id="evt_abcdefghij_0_7", status=204, key="42"),
        verify.Received(at=1.0, by="receiver", id="evt_abcdefghij_0_8", status=401, key="42"),
    ]
