"""Acts 7 to 9: redrive, lag by Kafka's own tool, the same events pulled by cursor."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from rich.text import Text

from examples.story.events import POISON
from examples.story.judge import place_of
from examples.story.play import WAIT_S, Play
from examples.story.stage import StageFailed
from pipeline.receiver import Received

PAGE = 40
ROWS_SHOWN = 4
SUBSCRIBERS = {"github": ("audit",), "orders": ("billing", "mail"), "payments": ("billing",)}


async def redrive(play: Play) -> None:
    play.act(
        7,
        "Redrive",
        "mail is mended; its dead letter is delivered again, to mail alone, under the id it always had.",
    )
    mail = play.witnesses["mail"]
    before = next(one.id for one in mail.attempts if one.event == POISON)
    mail.repair()
    play.command("dlq", "redrive", "mail", "--execute")
    play.page.print((await play.stage.pipeline("dlq", "redrive", "mail", "--execute")).rstrip(), highlight=False)
    came = [one for one in mail.delivered if one.event == POISON]
    play.page.print(Text("\n".join(f"mail got {one.event} ✓ as {one.id}, replay {one.replay}" for one in came)))
    good = len(came) == 1 and came[0].id == before and came[0].replay is not None
    play.check("it arrived once, under the same webhook id, marked as a replay", good, [came, before])
    left = await play.stage.pipeline("dlq", "list", "mail", "--json")
    play.check("no dead letter is left to redrive", not left.strip(), left)


async def show_the_lag(play: Play) -> None:
    play.act(
        8,
        "Lag 0, says Kafka's own tool",
        "A subscription's place is the committed offset of a consumer group, and nothing else.",
    )
    await _until_no_lag(play)
    groups = [word for name in play.witnesses for word in ("--group", f"app.{name}")]
    play.command("kafka", "consumer-groups", "--describe", *groups)
    shown = await play.stage.pipeline("kafka", "consumer-groups", "--describe", *groups)
    rows = [line.split() for line in shown.splitlines() if line.startswith("app.")]
    lags = [row[5] for row in rows]
    shown_rows = [["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"]]
    shown_rows += [row for row in rows if row[3] != "0"][:: max(1, len(rows) // ROWS_SHOWN)][:ROWS_SHOWN]
    for row in shown_rows:
        play.page.print(Text(f"{row[0]:14}{row[1]:10}{row[2]:>9}{row[3]:>16}{row[4]:>16}{row[5]:>6}", style="dim"))
    play.page.print(Text(f"… and {len(rows) - len(shown_rows) + 1} more", style="dim"))
    play.check(f"lag 0 in all {len(rows)} partitions of the three groups", rows and set(lags) == {"0"}, lags)


async def pull_the_same(play: Play, published: dict[str, int]) -> None:
    play.act(
        9,
        "The same events, pulled",
        "The same log, read over HTTP, page by page. The cursor is a token that the reader keeps.",
    )
    for topic, names in SUBSCRIBERS.items():
        pulled, pages, cursor = await _pull(play, topic)
        play.page.print(
            Text(f"GET /v1/topics/{topic}/events?from=…&limit={PAGE}", "cyan")
            + Text(f"   {pages} × … then {cursor}", "dim")
        )
        rows = {(event["kafkapartition"], int(event["sequence"]), event["id"]) for event in pulled}
        pushed = {_row(one) for name in names for one in play.witnesses[name].delivered if _is_of(one, topic)}
        same = rows == pushed and len(pulled) == published[topic]
        play.check(f"{len(pulled)} pulled from {topic}: the very events that were pushed", same, rows ^ pushed)


def _row(one: Received) -> tuple[int, int, str]:
    place = place_of(one.id)
    return place.partition, place.offset, one.event


def _is_of(one: Received, topic: str) -> bool:
    """Events of the shop say in their id what they are about; all others are GitHub's."""
    return one.event.startswith({"github": "github-", "orders": "order-", "payments": "payment-"}[topic])


async def _pull(play: Play, topic: str) -> tuple[list[dict[str, Any]], int, str]:
    """Everything from the earliest event on, page by page; with the number of pages and the last cursor."""
    events: list[dict[str, Any]] = []
    cursor, pages, caught_up = "earliest", 0, False
    while not caught_up:
        async with play.http.get(f"/v1/topics/{topic}/events", params={"from": cursor, "limit": str(PAGE)}) as response:
            if response.status != 200:
                raise StageFailed(f"reading {topic} answered {response.status}: {await response.text()}")
            events += await response.json(content_type=None)
            cursor, pages = response.headers["event-cursor"], pages + 1
            caught_up = response.headers["event-caught-up"] == "true"
    return events, pages, cursor


async def _until_no_lag(play: Play) -> None:
    deadline = time.monotonic() + WAIT_S
    for name in play.witnesses:
        while (lag := (await play.ask("GET", f"/v1/subscriptions/{name}"))["lag"]) != 0:
            if time.monotonic() > deadline:
                raise StageFailed(f"subscription {name} still has lag {lag} after {WAIT_S:.0f} s")
            await asyncio.sleep(0.2)
