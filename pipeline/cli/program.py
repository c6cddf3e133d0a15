"""The program: its commands, and what its exit status means.

0 done · 1 an error, said on standard error · 2 a plan has changes that were not made · 3 refused by a guard, nothing
was done.
"""

from __future__ import annotations

import functools
import sys
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from pipeline import __version__
from pipeline.cli import configuration, dlq, kafka, lag, receiver, replay, secrets, serve, subs, tail, topics, verify
from pipeline.errors import AddressBlocked, BrokerUnavailable, Conflict, NotFound, PipelineError

FAILED, CHANGES, REFUSED = 1, 2, 3
# What typer raises for a command line it cannot use, whichever copy of click it stands on: BadParameter is one of them.
CannotUse: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException" and issubclass(kind, Exception)
)
WHERE_KAFKA = (
    "`pipeline config` shows which Kafka that was (kafka.bootstrap_servers); name another with --bootstrap-servers or "
    "PIPELINE_BOOTSTRAP_SERVERS, or start one with `pipeline dev`"
)
# As `pipeline --help` tells them: what runs, what is looked at and operated, what helps.
ORDER = (
    *("dev", "serve", "gateway", "bridge"),
    *("topics", "subs", "lag", "tail", "dlq", "replay"),
    *("receiver", "kafka", "config", "secrets", "verify"),
)
# Where to look for what is not there.
WHERE_FOUND = {
    "subscription": "subs list",
    "topic": "topics list",
    "run": "replay list NAME",
    "parked key": "subs parked NAME",
}
WHERE_ALLOWED = (
    "`pipeline dev` lets receivers be plain http on loopback; elsewhere say so in pipeline.toml, section [webhook]: "
    "allow (address ranges), allow_loopback, allow_http"
)


class InOrder(typer.core.TyperGroup):
    """The program's commands in the order of a first day, not of their making."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)


@functools.cache
def command_line() -> Any:  # typer's own copy of click has no public type for it
    """All commands, none of their parts loaded yet. Made once: typer reads every signature anew for each."""
    program = typer.Typer(
        name="pipeline",
        cls=InOrder,
        help="Events on ordered Kafka topics: pulled by cursor or pushed to webhooks, from one log.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    program.callback()(_root)
    for group in (serve, topics, subs, lag, tail, dlq, replay, secrets, kafka, configuration, receiver, verify):
        group.register(program)
    return typer.main.get_command(program)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the program and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status of one invocation; errors are said in one line on standard error."""
    try:
        status = command_line()(arguments, prog_name="pipeline", standalone_mode=False)
    except typer.Abort:
        return FAILED
    except CannotUse as error:
        error.show()  # type: ignore[attr-defined]  # every ClickException has it
        return FAILED
    except AddressBlocked as error:
        typer.echo(f"refused: {error}\n{WHERE_ALLOWED}", err=True)
        return REFUSED
    except Conflict as error:
        typer.echo(f"refused: {error}", err=True)
        return REFUSED
    except BrokerUnavailable as error:
        typer.echo(f"error: no answer from Kafka: {error}\n{WHERE_KAFKA}", err=True)
        return FAILED
    except PipelineError as error:
        hint = WHERE_FOUND.get(error.noun) if isinstance(error, NotFound) and ";" not in str(error) else None
        typer.echo(f"error: {error}" + (f"; `pipeline {hint}` shows them" if hint else ""), err=True)
        return FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left (`| head`): nothing is wrong with us, and nothing more can be written.
        sys.stderr.close()
        return 0
    return status if isinstance(status, int) else 0
