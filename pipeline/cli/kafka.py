"""``pipeline kafka <tool> …``: Kafka's own command line tools, as they are."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import HERE, Directory, Where
from pipeline.cli.running import connected

# Everything after the tool's name is the tool's own, --help included; its options are unknown to us.
PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}


def kafka(
    context: typer.Context,
    tool: Annotated[
        str,
        typer.Argument(metavar="TOOL", help="topics, consumer-groups, console-consumer, configs, acls, dump-log, …"),
    ],
    bootstrap_server: Annotated[
        str | None,
        typer.Option(
            "--bootstrap-servers",
            "--bootstrap-server",
            help="The cluster, for tools that take one; else as for every other command.",
        ),
    ] = None,
    directory: Directory = HERE,
) -> None:
    """Run one of Kafka's own tools, as it is.

    kafka-topics.sh is `pipeline kafka topics`. Arguments and exit status are passed on; options of ours go before the
    tool's name.

    Example: `pipeline kafka consumer-groups --describe --all-groups`
    """
    from pipeline.embedded.tools import run_tool  # noqa: PLC0415 - an optional extra, and no other command wants it

    address = connected(Where(directory, bootstrap_server)).settings.kafka.bootstrap_servers
    raise typer.Exit(run_tool(tool, context.args, address))


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("kafka", context_settings=PASS_THROUGH)(kafka)
