"""Bounded readings: what of a window they take, and what of its subscription a shadow gets to know."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.record import Record
from pipeline.subscription import Endpoint, SealedSecrets, StoredRun, StoredSubscription
from tests.fakes.bridge import reading_of, row_of

SHADOW = Endpoint(url="https://shadow.example/hook")


def replay(**more: Any) -> StoredRun:
    return StoredRun(id="r7", subscription="hook", kind="replay", window={"t": {0: (2, 8)}}, **more)


def record(offset: int, event_id: str = "e") -> Record:
    named = {"specversion": "1.0", "id": event_id, "source": "/s", "type": "made"}
    return Record("t", 0, offset, 1, b"k", b"{}", tuple((f"ce_{name}", text.encode()) for name, text in named.items()))


def offsets_of(run: StoredRun, records: list[Record], **declared: Any) -> list[int]:
    return [found.offset for found in reading_of(row_of(**declared), run).select(records)]


def test_a_replay_takes_the_offsets_that_were_picked() -> None:
    picked = replay(picked={"t": {0: ((3, 5), (7, 8))}})
    assert offsets_of(picked, [record(offset) for offset in range(9)]) == [3, 4, 7]


def test_a_replay_by_event_id_takes_no_other() -> None:
    records = [record(2, "a"), record(3, "b"), Record("t", 0, 4, 1, b"k", b"{", (("content-type", b"\xff"),))]
    assert offsets_of(replay(ids=("b",)), records) == [3]


def test_a_replays_own_filter_narrows_the_subscriptions() -> None:
    run = replay(filters=({"exact": {"id": "b"}},))
    records = [record(2, "a"), record(3, "b")]
    assert offsets_of(run, records, filters=[{"exact": {"type": "made"}}]) == [3]
    assert offsets_of(run, records, filters=[{"exact": {"type": "other"}}]) == []


@pytest.fixture
def secretive() -> StoredSubscription:
    row = row_of(
        endpoint={"url": "https://receiver.example/", "auth": {"kind": "bearer"}, "headers": {"x-tenant": "acme"}},
        on_dead_letter="park",
    )
    sealed = SealedSecrets(v1=("k1:v1",), auth="k1:token", headers={"x-key": "k1:value"})
    return msgspec.structs.replace(row, secrets=sealed, allowed_rate_per_min=60)


def test_a_shadow_is_signed_for_and_gets_no_credential_of_the_endpoint(secretive: StoredSubscription) -> None:
    reading = reading_of(secretive, replay(endpoint=SHADOW))
    assert reading.is_shadow
    assert reading.spec.endpoint == reading.row.spec.endpoint == SHADOW
    assert reading.row.secrets == SealedSecrets(v1=("k1:v1",))
    assert reading.row.allowed_rate_per_min is None


def test_a_replay_to_the_endpoint_itself_delivers_as_live_does(secretive: StoredSubscription) -> None:
    reading = reading_of(secretive, replay())
    assert not reading.is_shadow
    assert (reading.row, reading.spec) == (secretive, secretive.spec)


@pytest.mark.parametrize(("declared", "run", "policy"), [("block", replay(), "continue"), ("park", replay(), "park")])
def test_no_bounded_run_waits_for_an_operator(declared: str, run: StoredRun, policy: str) -> None:
    row = row_of(on_dead_letter=declared)
    assert reading_of(row, run).spec.on_dead_letter == policy
    assert reading_of(row).spec.on_dead_letter == declared
