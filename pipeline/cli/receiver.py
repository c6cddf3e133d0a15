"""``pipeline receiver``: a sample webhook receiver that verifies what it gets."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.show import safe

if TYPE_CHECKING:
    from pipeline.receiver import Received

SECRETS = "WEBHOOK_SECRETS"


def register(program: typer.Typer) -> None:
    program.command("receiver")(receive)


def receive(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 9000,
    host: Annotated[str, typer.Option(help="Address to listen on; the history is not protected.")] = "127.0.0.1",
    secret: Annotated[
        list[str] | None,
        typer.Option(help=f"whsec_… of a subscription; may be repeated. Also {SECRETS}, separated by commas."),
    ] = None,
    fail_for: Annotated[float, typer.Option(metavar="SECONDS", help="Answer 503 this long after the start.")] = 0.0,
    poison: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="An event (ce-id) to always answer 500; may be repeated.")
    ] = None,
    delay: Annotated[float, typer.Option(metavar="SECONDS", help="Wait this long before each answer.")] = 0.0,
) -> None:
    """Take deliveries on any path, verify each, print a line for it. GET /received lists them as JSON.

    A delivery that does not verify is answered 401; without a secret none does, so give the one that the
    subscription's creation showed (`pipeline subs secret NAME` shows it again).
    """
    import uvloop  # noqa: PLC0415 - keeps --help quick

    from pipeline.receiver import Receiver, ReceiverSettings, serve  # noqa: PLC0415 - the same
    from pipeline.receiver.received import Headers  # noqa: PLC0415 - the same

    class Telling(Receiver):
        def answer(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, bytes]:
            before = self.statuses.total()
            answered = super().answer(method, path, headers, body)
            if self.statuses.total() > before:
                typer.echo(line_of(self.history[-1]))
            return answered

    secrets = [*(secret or ()), *filter(None, os.environ.get(SECRETS, "").split(","))]
    settings = ReceiverSettings(fail_for_s=fail_for, poison=frozenset(poison or ()), delay_s=delay)
    receiver = Telling(secrets, settings=settings)
    uvloop.run(serve(receiver, port=port, host=host, on_ready=lambda url: typer.echo(f"ready {url}")))


def line_of(received: Received) -> str:
    """``12:00:01.250  204  attempt 2  evt_…  shop.order  key 42``, with what was wrong where something was."""
    at = datetime.datetime.fromtimestamp(received.at, datetime.UTC).strftime("%H:%M:%S.%f")[:-3]
    words = [
        at,
        str(received.status),
        f"attempt {received.attempt}",
        received.id,
        received.type,
        f"key {received.key}" if received.key is not None else "",
        "again" if received.repeated else "",
        f"replay {received.replay}" if received.replay else "",
        received.problem,
    ]
    return safe("  ".join(word for word in words if word))
