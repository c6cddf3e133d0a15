"""What the demo puts in: events whose keys keep their order, and one that is poison."""

from __future__ import annotations

import random

from examples.story.events import ORDERS, POISON, STEPS, github_events, order_events, payment_events


def test_every_order_goes_through_its_steps_in_order() -> None:
    events = order_events(random.Random(1))
    assert len(events) == ORDERS * len(STEPS)
    for key in {event["partitionkey"] for event in events}:
        assert tuple(event["data"]["status"] for event in events if event["partitionkey"] == key) == STEPS


def test_orders_are_told_side_by_side() -> None:
    keys = [event["partitionkey"] for event in order_events(random.Random(1))]
    assert len(set(keys[:ORDERS])) == ORDERS


def test_payments_belong_to_their_orders() -> None:
    orders = order_events(random.Random(1))
    payments = payment_events(orders)
    assert len(payments) == 2 * ORDERS
    assert {event["partitionkey"] for event in payments} == {event["partitionkey"] for event in orders}


def test_ids_are_unique_and_one_of_them_is_the_poison() -> None:
    orders = order_events(random.Random(1))
    ids = [event["id"] for event in (*orders, *payment_events(orders))]
    ids += [event.attributes["id"] for event in github_events()]
    assert len(set(ids)) == len(ids)
    assert ids.count(POISON) == 1


def test_every_github_payload_has_a_key_and_keeps_its_bytes() -> None:
    events = list(github_events())
    assert len(events) >= 20
    assert all(event.attributes["partitionkey"] for event in events)
    assert all(event.body.startswith(b"{") for event in events)
