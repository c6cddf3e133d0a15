"""The story in nine acts, and how it ends: exit status 0 only if every check held."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time

import aiohttp
from rich.console import Console
from rich.text import Text

from examples.story import amends, cast, troubles
from examples.story.events import POISON
from examples.story.judge import Verdicts
from examples.story.play import Play
from examples.story.stage import ROOT, Stage, StageFailed, stage
from examples.story.witness import Witness
from pipeline.receiver import ReceiverSettings

WIDTH = 100
OUTAGE_S = 4.0


def main() -> int:
    """0: every check held. 1: one did not, or something broke; it is named. 130: you stopped it."""
    page = Console(width=min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns), highlight=False)
    verdicts = Verdicts()
    try:
        asyncio.run(_tell(page, verdicts))
    except (KeyboardInterrupt, asyncio.CancelledError):
        page.print("\nstopped; nothing is left running")
        return 130
    except (StageFailed, aiohttp.ClientError, TimeoutError) as error:
        page.print(Text(f"\n✗ {error}", style="bold red"))
        return 1
    for what in verdicts.failed:
        print(f"check failed: {what}", file=sys.stderr)
    return 1 if verdicts.failed else 0


async def _tell(page: Console, verdicts: Verdicts) -> None:
    telling = asyncio.current_task()
    assert telling is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, telling.cancel)
    witnesses = {
        "audit": Witness(),
        "billing": Witness(),
        "mail": Witness(ReceiverSettings(poison=frozenset({POISON}))),
    }
    page.print(Text("event-pipeline", style="bold"), Text("one log; pushed, pulled, replayed", style="dim"), sep="  ")
    began = time.monotonic()
    with page.status("starting pipeline dev") as status:
        tell = status.update if page.is_terminal else page.print
        async with stage(tell) as running, aiohttp.ClientSession(running.url) as http:
            status.stop()
            play = Play(running, http, page, verdicts, witnesses)
            try:
                await _acts(play, time.monotonic() - began)
                _end(play, time.monotonic() - began)
                if keep():
                    await _keep(play)
            finally:
                await cast.leave(play)


def keep() -> bool:
    """Whether KEEP asks to leave everything running."""
    return os.environ.get("KEEP", "") not in ("", "0")


async def _acts(play: Play, started_s: float) -> None:
    await cast.open_the_house(play, started_s)
    await cast.seat_the_audience(play)
    play.witnesses["billing"].receiver.fail_for(OUTAGE_S)
    published = await cast.let_events_in(play)
    await troubles.sit_out_the_outage(play, published)
    await troubles.count_what_arrived(play, published)
    await troubles.open_the_dead_letter(play)
    await amends.redrive(play)
    await amends.show_the_lag(play)
    await amends.pull_the_same(play, published)


def _end(play: Play, took_s: float) -> None:
    held, failed = play.verdicts.held, play.verdicts.failed
    play.page.print()
    if failed:
        play.page.print(Text(f"{len(failed)} of {len(held) + len(failed)} checks did not hold:", style="bold red"))
        for what in failed:
            play.page.print(Text(f"  ✗ {what}", style="red"))
    else:
        play.page.print(Text(f"All {len(held)} checks held, in {took_s:.0f} s.", style="bold green"))
    if not keep():
        play.page.print("KEEP=1 make demo leaves everything running, with commands to look around.")


async def _keep(play: Play) -> None:
    """Print where everything is and what to type; stay until Ctrl-C."""
    program = ROOT / ".venv" / "bin" / "pipeline"
    shown = str(program) if program.exists() else f"{sys.executable} -m pipeline"
    play.page.print()
    play.page.print(Text("Still running. In another terminal:", style="bold"))
    print(_commands(play.stage, shown))
    play.page.print("Ctrl-C ends it and removes the folder.")
    await play.stage.ended()


def _commands(running: Stage, program: str) -> str:
    lines = (
        f"cd {running.directory}",
        f"alias pipeline='{program}'",
        "pipeline subs list",
        "pipeline lag billing",
        "pipeline tail orders --from earliest --once",
        "pipeline dlq list mail --all",
        "pipeline replay run audit --from earliest",
        "pipeline kafka consumer-groups --describe --all-groups",
        "pipeline kafka console-consumer --topic app.mail.dlq --from-beginning --formatter-property print.headers=true",
        f"curl '{running.url}/v1/topics/payments/events?from=earliest&limit=2'",
        f"curl {running.url}/v1/subscriptions/billing",
        f"curl {running.url}/metrics",
    )
    return "\n".join(f"  {line}" for line in lines)
