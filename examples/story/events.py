"""What goes in: GitHub's own webhook payloads, and a small shop that takes orders and money."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

GITHUB = Path(__file__).resolve().parents[1] / "github"
ORDERS = 30
STEPS = ("PLACED", "PAID", "PACKED", "SHIPPED", "DELIVERED")
SKUS = (("tea-assam-250", 890), ("pot-blue", 4200), ("cup-white", 1150), ("filter-paper", 390))
# The payment service of the mail receiver chokes on exactly this one.
POISON = "order-1007-paid"


class GithubEvent(NamedTuple):
    """One payload as it came from GitHub, with the CloudEvents attributes that a relay would give it."""

    attributes: dict[str, str]
    body: bytes


def github_events() -> Iterator[GithubEvent]:
    """Every payload of ``examples/github``; the key is the repository, else the organisation, else the app."""
    for number, file in enumerate(sorted(GITHUB.glob("*.json"))):
        body = file.read_bytes()
        payload = json.loads(body)
        about = payload.get("repository") or {}
        owner = payload.get("organization") or payload.get("sender") or {}
        key = about.get("full_name") or owner.get("login") or "github"
        yield GithubEvent(
            {
                "specversion": "1.0",
                "id": f"github-{number:02d}",
                "type": f"github.{file.stem}",
                "source": f"https://github.com/{key}",
                "partitionkey": key,
            },
            body,
        )


def order_events(chance: random.Random) -> list[dict[str, Any]]:
    """The life of thirty orders, step by step, all of them at once: what one key waits for must not stop another."""
    lines = {number: chance.choices(SKUS, k=chance.randint(1, 3)) for number in range(1001, 1001 + ORDERS)}
    return [
        _event(
            f"order-{number}-{step.lower()}",
            f"shop.order.{step.lower()}",
            str(number),
            {
                "order_id": str(number),
                "customer_id": str(100 + number % 7),
                "status": step,
                "total_cents": sum(price for _, price in lines[number]),
                "lines": [{"sku": sku, "quantity": 1, "price_cents": price} for sku, price in lines[number]],
            },
        )
        for step in STEPS
        for number in chance.sample(sorted(lines), k=len(lines))
    ]


def payment_events(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Authorised when the order is placed, captured when it is shipped."""
    told = {"PLACED": "AUTHORISED", "SHIPPED": "CAPTURED"}
    return [
        _event(
            f"payment-{data['order_id']}-{told[data['status']].lower()}",
            f"shop.payment.{told[data['status']].lower()}",
            data["order_id"],
            {
                "payment_id": f"p{data['order_id']}",
                "order_id": data["order_id"],
                "status": told[data["status"]],
                "amount_cents": data["total_cents"],
            },
        )
        for data in (order["data"] for order in orders)
        if data["status"] in told
    ]


def _event(event_id: str, kind: str, key: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "type": kind,
        "source": "/shop",
        "partitionkey": key,
        "datacontenttype": "application/json",
        "data": data,
    }
