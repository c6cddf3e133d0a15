"""``pipeline receiver``: a sample webhook receiver that verifies what it gets."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import grouped
from pipeline.cli.show import safe
from pipeline.errors import DeclarationInvalid

if TYPE_CHECKING:
    from pipeline.receiver import Received

SECRETS = "WEBHOOK_SECRETS"


def register(program: typer.Typer) -> None:
    program.command("receiver")(grouped(receive))


def receive(
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 takes a free one.")] = 9000,
    host: Annotated[str, typer.Option(help="Address to listen on; the history is not protected.")] = "127.0.0.1",
    secret: Annotated[
        list[str] | None,
        typer.Option(help=f"whsec_… of a subscription; may be repeated. Also {SECRETS}, separated by commas."),
    ] = None,
    fail_for: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Answer 503 this long after the start.")
    ] = 0.0,
    poison: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="An event (ce-id) to always answer 500; may be repeated.")
    ] = None,
    delay: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Wait this long before each answer.")] = 0.0,
) -> None:
    """A sample webhook receiver that verifies what it gets.

    It takes deliveries on any path and prints a line for each; GET /received lists them as JSON.

    A delivery that does not verify is answered 401; without a secret none does, so give the one that the
    subscription's creation showed (`pipeline subs secret NAME` shows it again).

    Example: `pipeline receiver --port 9001 --fail-for 10`
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
    try:
        uvloop.run(serve(receiver, port=port, host=host, on_ready=lambda url: typer.echo(f"ready {url}")))
    except OSError as error:  # of listening: what comes in later is answered, whatever it is
        free = f"an address that is free ({os.strerror(error.errno or 0)})"
        raise DeclarationInvalid("--port", f"{host}:{port}", free) from None


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
