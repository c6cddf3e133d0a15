"""Acts 4 to 6: an endpoint is down, one event is poison, and what became of all the others."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from functools import partial
from typing import Any

from rich.text import Text

from examples.story.cast import SUBSCRIPTIONS
from examples.story.events import POISON
from examples.story.judge import by_key, order_violations, tries
from examples.story.play import Play, until
from examples.story.witness import Witness

POISON_KEY = "1007"


async def sit_out_the_outage(play: Play, published: dict[str, int]) -> None:
    play.act(
        4,
        "An endpoint is down",
        "billing answers 503. Its breaker opens: single events probe it while the others wait in the log.",
    )
    wanted = published["orders"] + published["payments"]
    billing = play.witnesses["billing"]
    with play.page.status(f"waiting until billing has its {wanted} events"):
        await until(partial(_has, billing, wanted), "billing has all its events")
    began = billing.attempts[0].at
    last = int(billing.attempts[-1].at - began)
    for second in range(last + 1):
        here = [one for one in billing.attempts if int(one.at - began) == second]
        failed, good = sum(one.status == 503 for one in here), sum(one.status == 204 for one in here)
        line = Text(f"second {second:2}  ", style="dim")
        line.append(_bar(failed, "refused"), style="red").append(_bar(good, "delivered"), style="green")
        play.page.print(line if here else line.append("waiting for the next probe", style="dim"))
    metrics = await _metrics(play)
    opened = metrics.get('pipeline_breaker_changes_total{kind="live",state="open",subscription="billing"}', 0)
    play.check("the breaker opened, probed, and closed on the first success", opened >= 1, metrics)


async def count_what_arrived(play: Play, published: dict[str, int]) -> None:
    play.act(
        5,
        "What was delivered, in which order, after how many attempts",
        "Counted by the receivers; compared with what the bridge wrote down in its topic _pipeline-attempts.",
    )
    wanted = {name: sum(published[topic] for topic in spec["topics"]) for name, spec in SUBSCRIPTIONS.items()}
    wanted["mail"] -= 1
    for name, witness in play.witnesses.items():
        await until(partial(_has, witness, wanted[name]), f"{name} has all its events")
    await _until_buried(play)
    rows: list[tuple[object, ...]] = []
    for name, witness in play.witnesses.items():
        counts = tries(witness.attempts)
        rows.append(
            (
                name,
                len(witness.delivered),
                len(by_key(witness.attempts)),
                len(order_violations(witness.attempts)),
                sum(one.repeated for one in witness.delivered),
                f"{min(counts.values())} to {max(counts.values())}",
                f"{witness.verified} of {len(witness.attempts)}",
            )
        )
    play.table(("subscription", "delivered", "keys", "out of order", "twice", "attempts", "verified"), rows)
    _one_key(play)
    await _judge(play, wanted)


def _has(witness: Witness, wanted: int) -> bool:
    return len({one.id for one in witness.delivered}) >= wanted


def _one_key(play: Play) -> None:
    line = Text(f"order {POISON_KEY} at mail:")
    for one in play.witnesses["mail"].attempts:
        if one.key == POISON_KEY:
            step = one.event.rpartition("-")[2]
            line.append(f"  {step} ").append("✓" if one.status == 204 else "✗", "green" if one.status == 204 else "red")
    play.page.print(line)


async def _judge(play: Play, wanted: dict[str, int]) -> None:
    every = play.witnesses.items()
    short = {name: len(w.delivered) for name, w in every if len({one.id for one in w.delivered}) != wanted[name]}
    play.check("every event was delivered to every subscription, but for the poison one", not short, short)
    wrong = [text for _, w in every for text in order_violations(w.attempts)]
    play.check("per key, no event was attempted before the one ahead of it was through", not wrong, wrong[:3])
    again = [one.id for _, w in every for one in w.delivered if one.repeated]
    play.check("nothing was delivered twice", not again, again[:3])
    unsigned = [one.problem for _, w in every for one in w.attempts if one.problem]
    counted = all(w.verified == len(w.attempts) for _, w in every)
    play.check("every signature passed the independent library", counted and not unsigned, unsigned[:3])
    seen = {(name, found): n for name, w in every for found, n in tries(w.attempts).items()}
    lines = await play.stage.pipeline("tail", "_pipeline-attempts", "--from", "earliest", "--once", "--json")
    noted = [attempt for line in lines.splitlines() for attempt in _attempts_of(json.loads(line))]
    told = Counter((data["subscription"], data["id"]) for data in noted)
    differ = [key for key in seen.keys() | told.keys() if seen.get(key) != told.get(key)]
    play.check(f"the bridge's own record of {len(noted)} attempts agrees", not differ, differ[:3])


def _attempts_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    """A record of the attempts topic holds many lines; one of a single line passes for JSON."""
    if "data" in event:
        return [event["data"] if isinstance(event["data"], dict) else json.loads(event["data"])]
    return [json.loads(line) for line in b64decode(event["data_base64"]).splitlines()]


async def open_the_dead_letter(play: Play) -> None:
    limit = len(SUBSCRIPTIONS["mail"]["retry"]["schedule_s"]) + 1
    play.act(
        6,
        "The dead letter",
        f"mail answered 500 to one event, {limit} times. It lies in topic app.mail.dlq now; its key went on.",
    )
    play.command("dlq", "list", "mail")
    play.page.print((await play.stage.pipeline("dlq", "list", "mail")).rstrip(), highlight=False)
    letters = await _letters(play)
    found = [(letter["event"].get("id"), letter["attempts"], letter["reason"]) for letter in letters]
    play.check(
        f"exactly the poison event lies there, after {limit} attempts", found == [(POISON, limit, "exhausted")], found
    )
    after = [one.event for one in by_key(play.witnesses["mail"].attempts)[POISON_KEY]]
    play.check("its key went on: what came after it was delivered", len(after) == 4, after)


async def _letters(play: Play) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await play.ask("GET", "/v1/subscriptions/mail/dead-letters"))["dead_letters"]
    return found


async def _until_buried(play: Play) -> None:
    mail = play.witnesses["mail"]
    limit = len(SUBSCRIPTIONS["mail"]["retry"]["schedule_s"]) + 1
    await until(lambda: sum(one.event == POISON for one in mail.attempts) >= limit, "the poison event is given up")
    for _ in range(100):
        if await _letters(play):
            return


async def _metrics(play: Play) -> dict[str, float]:
    async with play.http.get("/metrics") as response:
        lines = [line.rpartition(" ") for line in (await response.text()).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def _bar(count: int, word: str) -> str:
    return f"{'█' * min(60, -(-count // 3))} {count} {word}  " if count else ""
