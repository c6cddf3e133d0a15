"""Acts 1 to 3: who plays, and what goes in."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from examples.story.events import GithubEvent, github_events, order_events, payment_events
from examples.story.play import Play
from examples.story.stage import StageFailed

# Waits before attempts 2, 3, …; each is drawn from zero to this (full jitter).
SUBSCRIPTIONS: dict[str, dict[str, Any]] = {
    "audit": {"topics": ["github"], "retry": {"schedule_s": [0.5, 1, 2]}},
    "billing": {"topics": ["orders", "payments"], "format": "structured", "retry": {"schedule_s": [0.5, 1, 2, 4, 8]}},
    "mail": {"topics": ["orders"], "format": "structured", "retry": {"schedule_s": [0.3, 0.6, 1.2]}},
}
FATES = {
    "audit": "always answers",
    "billing": "is down for its first 4 seconds",
    "mail": "chokes on one event, always",
}
BATCH = {"content-type": "application/cloudevents-batch+json"}


async def open_the_house(play: Play, started_s: float) -> None:
    play.act(
        1,
        "A real Kafka, a gateway, a bridge",
        "`pipeline dev` runs all three on this machine. It was given Python and nothing else.",
    )
    topics = (await play.ask("GET", "/v1/topics"))["topics"]
    names = ", ".join(topic["name"] for topic in topics)
    play.page.print(f"ready after {started_s:.1f} s: gateway {play.stage.url}, Kafka {play.stage.kafka}")
    play.page.print(f"{len(topics)} topics, declared in topics/*.yaml: {names}")


async def seat_the_audience(play: Play) -> None:
    play.act(
        2,
        "Three subscriptions, a receiver behind each",
        "A receiver verifies each signature with `standardwebhooks`, a library that is not ours.",
    )
    rows: list[tuple[object, ...]] = []
    for name, declared in SUBSCRIPTIONS.items():
        witness = play.witnesses[name]
        url = await witness.receiver.start()
        declaration = {**declared, "start": "earliest", "endpoint": {"url": f"{url}/hook"}}
        made = await play.ask("PUT", f"/v1/subscriptions/{name}", declaration)
        witness.trust(made["secret"])
        attempts = len(declared["retry"]["schedule_s"]) + 1
        rows.append((name, ", ".join(declared["topics"]), f"app.{name}", f"{attempts} attempts", FATES[name]))
    play.table(("subscription", "topics", "consumer group", "at most", "its endpoint"), rows)


async def let_events_in(play: Play) -> dict[str, int]:
    """Publish everything; how many events each topic got."""
    github, orders = list(github_events()), order_events(random.Random(7))
    payments = payment_events(orders)
    play.act(
        3,
        "Events go in over HTTP",
        "201 comes when all in-sync replicas have the event, and not before.",
    )
    first = await _post_one(play, github[0])
    for event in github[1:]:
        await _post_one(play, event)
    play.page.print(f"{len(github):4} of GitHub's own webhook payloads, one by one; the first lies at {_spot(first)}")
    for topic, events in (("orders", orders), ("payments", payments)):
        for begin in range(0, len(events), 50):
            await _post_batch(play, topic, events[begin : begin + 50])
    play.page.print(f"{len(orders):4} events of 30 orders, each checked against schemas/order.avsc")
    play.page.print(f"{len(payments):4} payments, checked too: JSON comes in, Avro lies on the log")
    await _refused(play, orders[0])
    return {"github": len(github), "orders": len(orders), "payments": len(payments)}


async def _post_one(play: Play, event: GithubEvent) -> dict[str, Any]:
    headers = {f"ce-{name}": value for name, value in event.attributes.items()}
    headers["content-type"] = "application/json"
    async with play.http.post("/v1/topics/github/events", data=event.body, headers=headers) as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        if response.status != 201:
            raise StageFailed(f"publishing {event.attributes['id']} answered {response.status}: {answer}")
        return answer


async def _post_batch(play: Play, topic: str, events: list[dict[str, Any]]) -> None:
    async with play.http.post(f"/v1/topics/{topic}/events", data=json.dumps(events), headers=BATCH) as response:
        if response.status != 200:
            raise StageFailed(f"publishing to {topic} answered {response.status}: {await response.text()}")


async def _refused(play: Play, order: dict[str, Any]) -> None:
    wrong = {**order, "id": "order-wrong", "data": {**order["data"], "total_cents": "twelve euros"}}
    async with play.http.post("/v1/topics/orders/events", data=json.dumps([wrong]), headers=BATCH) as response:
        problem = await response.json(content_type=None)
    fault = problem.get("errors", [{}])[0]
    told = f"{fault.get('pointer')} {fault.get('detail')}"
    play.page.print(f"{response.status:4} for one that costs 'twelve euros': {told}")
    play.check(
        "what does not fit the schema is refused, the field is named, nothing is written",
        response.status == 422 and "total_cents" in json.dumps(problem),
        problem,
    )


def _spot(position: dict[str, Any]) -> str:
    return f"{position['topic']}/{position['partition']}/{position['offset']}"


async def leave(play: Play) -> None:
    """Receivers stop listening."""
    await asyncio.gather(*(witness.receiver.stop() for witness in play.witnesses.values()))
