"""What commands share: the configuration they run by, a node for the length of a command, and asyncio to run it on."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.cli.local_broker import BOOTSTRAP_SERVERS, DEV, or_local
from pipeline.cli.options import Where

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.wiring import Node

T = TypeVar("T")


def configured(
    directory: Path, flags: Mapping[tuple[str, ...], object], base: Mapping[tuple[str, ...], object] | None = None
) -> Config:
    """The configuration of ``directory`` under the environment and these flags (None: not given)."""
    from pipeline.config import load_config  # noqa: PLC0415 - keeps --help quick

    return load_config(directory, os.environ, flags, base)


def connected(where: Where) -> Config:
    """The configuration of a command that talks to Kafka: the one named, else the one `pipeline dev` runs here."""
    import msgspec  # noqa: PLC0415 - keeps --help quick

    directory = where.directory
    config = configured(directory, {BOOTSTRAP_SERVERS: where.bootstrap})
    found = or_local(directory, config.origins)
    if found is None:
        return config
    # What dev delivers to, its commands may declare.
    config = configured(directory, {BOOTSTRAP_SERVERS: found}, DEV)
    origins = {**config.origins, BOOTSTRAP_SERVERS: "pipeline dev, running here"}
    return msgspec.structs.replace(config, origins=origins)


def with_node(where: Where, work: Callable[[Node], Awaitable[T]]) -> T:
    """Run ``work`` with a started node and stop it; the usual frame of a command that looks or changes something."""
    import uvloop  # noqa: PLC0415 - the same

    from pipeline.telemetry.logs import configure_logs  # noqa: PLC0415 - the same
    from pipeline.wiring import started  # noqa: PLC0415 - the same

    configure_logs("text", level=40)
    config = connected(where)

    async def run() -> T:
        async with started(config) as node:
            return await work(node)

    return uvloop.run(run())


def who() -> str:
    """Who the audit names for what this command does."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user, as in containers
        user = str(os.getuid())
    return f"cli {user}@{socket.gethostname()}"


def plain(value: Any) -> Any:
    """A value of ours as JSON knows it: structs as objects, tuples as lists."""
    import msgspec  # noqa: PLC0415 - the same

    return msgspec.to_builtins(value)
