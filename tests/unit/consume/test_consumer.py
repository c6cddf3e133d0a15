"""Declaring handlers: what is taken, what is refused, and how they are named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.consume import Consumer, Incoming, Reject, RetryLater
from pipeline.consume.consumer import heard
from pipeline.consume.handlers import Handler
from pipeline.consume.outcomes import fault_of
from pipeline.consume.own_rows import NoRows, OwnRows
from pipeline.delivery.verdict import FaultKind
from pipeline.errors import DeclarationInvalid, FormatUnreadable
from pipeline.push.no_waiting import without_waits
from pipeline.push.reading import Reading
from pipeline.record import Record
from pipeline.subscription import Endpoint, RetryPolicy, StoredRun, StoredSubscription, subscription_from
from pipeline.verify import HistoryWriter, Received, read_history
from tests.fakes.table import FakeTable


async def handle(event: Incoming) -> None: ...


def incoming(value: bytes | None, *headers: tuple[str, bytes | None]) -> Incoming:
    record = Record("orders", 0, 5, 0, b"k", value, headers)
    return Incoming(record, 1, delivery_id="evt_a_0_5", run_id=None, defaults=("/billing/orders", "orders.record"))


def test_a_handler_is_named_by_its_first_topic() -> None:
    assert Handler(call=handle, topics=("shop.orders_v2", "more")).name == "shop-orders-v2"


def test_a_handlers_declaration_is_a_subscriptions() -> None:
    handler = Handler(call=handle, topics=("orders",), filters=({"exact": {"type": "a"}},), concurrency=7)
    spec = subscription_from({"name": handler.name, **handler.declared()})
    assert (spec.topics, spec.in_flight_max, spec.start) == (("orders",), 7, "earliest")


def test_a_plain_function_is_refused_with_a_way_out() -> None:
    def plain(event: Incoming) -> None: ...

    with pytest.raises(DeclarationInvalid, match=r"plain.*asyncio\.to_thread"):
        Consumer("billing").on("orders")(plain)  # type: ignore[type-var]  # what is refused


def test_an_object_whose_call_is_a_coroutine_is_taken() -> None:
    class Charging:
        async def __call__(self, event: Incoming) -> None: ...

    Consumer("billing").on("orders")(Charging())


@pytest.mark.parametrize(("topics", "name"), [((), ""), (("orders",), "a.b")])
def test_no_topic_and_names_no_group_can_have_are_refused(topics: tuple[str, ...], name: str) -> None:
    with pytest.raises(DeclarationInvalid):
        Consumer("billing").on(*topics, name=name)(handle)


def test_two_handlers_need_two_names() -> None:
    consumer = Consumer("billing")
    consumer.on("orders")(handle)
    with pytest.raises(DeclarationInvalid, match="orders"):
        consumer.on("orders")(handle)
    consumer.on("orders", name="again")(handle)


@pytest.mark.parametrize("name", ["app", "a.b", ""])
def test_a_consumers_name_is_a_namespace_that_is_not_the_bridges(name: str) -> None:
    with pytest.raises(DeclarationInvalid):
        Consumer(name)


async def test_a_consumer_without_handlers_does_not_start() -> None:
    with pytest.raises(DeclarationInvalid, match="handlers"):
        await Consumer("billing").start()


def test_data_is_read_as_json_and_as_a_type() -> None:
    class Order(msgspec.Struct):
        cents: int

    assert incoming(b'{"cents":3}').data_json() == {"cents": 3}
    assert incoming(b'{"cents":3}').data_as(Order) == Order(3)


@pytest.mark.parametrize("value", [None, b"", b"{", b'{"cents":"x"}'])
def test_data_that_is_not_what_was_asked_for_rejects_the_event(value: bytes | None) -> None:
    with pytest.raises(Reject):
        incoming(value).data_as(dict[str, int])


def test_a_record_that_is_no_cloudevent_has_what_its_place_gives_it() -> None:
    event = incoming(b"{}")
    assert (event.id, event.cloudevent.source, event.cloudevent.type) == (
        "orders/0/5",
        "/billing/orders",
        "orders.record",
    )


def test_a_record_that_claims_to_be_one_and_is_not_is_undecodable() -> None:
    with pytest.raises(FormatUnreadable) as caught:
        _ = incoming(b"{", ("content-type", b"application/cloudevents+json")).data
    assert fault_of(caught.value, 0.1).kind is FaultKind.UNDECODABLE


def test_an_hour_is_the_longest_wait() -> None:
    RetryLater(3600)
    with pytest.raises(DeclarationInvalid):
        RetryLater(3601)


def test_without_waits_there_are_as_many_attempts() -> None:
    assert without_waits(RetryPolicy(schedule_s=(5, 9), reject_status=(422,))) == RetryPolicy(
        schedule_s=(0, 0), reject_status=(422,)
    )


async def test_a_process_sees_the_rows_of_its_own_handlers() -> None:
    table = FakeTable()
    await table.put("orders", b"1", based_on=None)
    await table.put("other", b"2", based_on=None)
    rows = OwnRows(table, {"orders"})
    assert set(rows.rows()) == {"orders"}
    assert rows.get("orders") is not None
    assert rows.get("other") is None
    assert NoRows().rows() == {}


def test_a_shadow_replay_is_not_given_to_the_live_handler() -> None:
    consumer = Consumer("billing")
    consumer.on("orders")(handle)
    spec = subscription_from({"name": "orders", **Handler(call=handle, topics=("orders",)).declared()})
    run = StoredRun(
        id="r1", subscription="orders", kind="replay", window={"orders": {0: (0, 1)}},
        endpoint=Endpoint(url="https://shadow.example/"),
    )  # fmt: skip
    reading = Reading("billing", StoredSubscription(spec=spec), run, lambda _: ("/s", "t"))
    with pytest.raises(DeclarationInvalid, match="shadow"):
        consumer._caller(lambda _: ("/s", "t"), reading, lambda _: "evt_abcdefghij_")


async def test_a_history_hears_of_what_a_handler_did_and_of_one_handler_only(tmp_path: Path) -> None:
    async def books(event: Incoming) -> None:
        if event.record.value is None:
            raise Reject("nothing to book")

    writer = HistoryWriter(tmp_path / "h.jsonl", "billing-1", lambda: 7.0)
    call = heard(books, writer)
    await call(incoming(b"{}"))
    with pytest.raises(Reject):
        await call(incoming(None))
    writer.close()
    expected = Received(at=7.0, by="billing-1", id="evt_a_0_5", status=204, key="k")
    assert list(read_history(tmp_path / "h.jsonl")) == [expected]
    two = Consumer("billing", history_file=tmp_path / "h.jsonl")
    for name in ("one", "two"):
        two.on("orders", name=name)(handle)
    with pytest.raises(DeclarationInvalid, match="one handler"):
        await two.start()
