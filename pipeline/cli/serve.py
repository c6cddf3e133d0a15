"""``pipeline dev | serve | gateway | bridge``: the long-running commands."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.local_broker import BOOTSTRAP_SERVERS, DEV, data_dir_of
from pipeline.cli.options import HERE, Directory, Where, grouped
from pipeline.cli.running import configured
from pipeline.errors import DeclarationInvalid

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.embedded import EmbeddedKafka
    from pipeline.wiring import Node

Port = Annotated[
    int | None,
    typer.Option(metavar="PORT", help="HTTP port of the gateway, else as configured (8080); 0 takes a free one."),
]
Host = Annotated[str | None, typer.Option(metavar="HOST", help="Address of the gateway.")]
Logs = Annotated[str, typer.Option(metavar="FORM", help="text or json, on standard error.")]
# uvloop keeps this many connections that no one has accepted yet.
BACKLOG = 2048
# How often `pipeline dev` looks whether its broker still lives.
BROKER_LOOK_S = 1.0


def register(program: typer.Typer) -> None:
    for command in (dev, serve, gateway, bridge):
        program.command(command.__name__)(grouped(command))


def dev(
    directory: Directory = HERE,
    port: Port = None,
    kafka_port: Annotated[
        int, typer.Option(metavar="PORT", help="Port of the embedded Kafka; 0 takes a free one.")
    ] = 9092,
    logs: Logs = "text",
) -> None:
    """Everything on this machine: real Kafka, gateway and bridge.

    Prints one line `ready http://… kafka …` when it serves. Receivers may be plain http on loopback. Data stays in
    DIR/.pipeline; set PIPELINE_BOOTSTRAP_SERVERS to use a broker of yours instead.
    """
    _run(lambda: _dev(directory, port, kafka_port), logs)


def serve(where: Where, host: Host = None, port: Port = None, logs: Logs = "text") -> None:
    """Gateway and bridge in one process, against a Kafka of yours."""
    _run(lambda: _serve_with_gateway(_config(where, host, port), bridge=True), logs)


def gateway(where: Where, host: Host = None, port: Port = None, logs: Logs = "text") -> None:
    """The gateway alone: events, cursors, subscriptions over HTTP."""
    _run(lambda: _serve_with_gateway(_config(where, host, port), bridge=False), logs)


def bridge(where: Where, logs: Logs = "text") -> None:
    """The bridge alone: one worker that delivers to webhooks. Start more of them to share the partitions."""
    _run(lambda: _serve(_config(where, None, None), None, bridge=True), logs)


def _config(where: Where, host: str | None, port: int | None) -> Config:
    flags: dict[tuple[str, ...], object] = {
        BOOTSTRAP_SERVERS: where.bootstrap,
        ("gateway", "host"): host,
        ("gateway", "port"): port,
    }
    return configured(where.directory, flags)


def _run(work: Callable[[], Any], logs: str) -> None:
    import uvloop  # noqa: PLC0415 - keeps --help quick

    from pipeline.telemetry.logs import configure_logs  # noqa: PLC0415 - the same

    if logs not in ("text", "json"):
        raise DeclarationInvalid("--logs", logs, "text or json")
    form: Literal["text", "json"] = "json" if logs == "json" else "text"
    configure_logs(form)
    # What is loaded by now stays, and records come and go by the ten thousand: looking for cycles at every 700th new
    # object cost a reader of the log a tenth of its time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    uvloop.run(work())


async def _dev(directory: Path, port: int | None, kafka_port: int) -> None:
    from pipeline.wiring import ensure_key_file  # noqa: PLC0415 - keeps --help quick

    flags: dict[tuple[str, ...], object] = {("gateway", "port"): port}
    config = configured(directory, flags, DEV)
    if not config.settings.secrets.keys:
        ensure_key_file(config.path(config.settings.secrets.key_file))
    gateway = config.settings.gateway
    async with contextlib.AsyncExitStack() as stack:
        # Before a broker is started for it: a port that is taken is found out at once.
        listener = stack.enter_context(_listen(gateway.host, gateway.port))
        if BOOTSTRAP_SERVERS not in config.origins:
            broker = await stack.enter_async_context(_embedded(directory, kafka_port))
            config = configured(directory, {**flags, BOOTSTRAP_SERVERS: broker.bootstrap_servers}, DEV)
            stack.enter_context(_told_of_its_end(broker))
        await _serve(config, listener, bridge=True, apply=True)


@contextlib.asynccontextmanager
async def _embedded(directory: Path, port: int) -> AsyncIterator[EmbeddedKafka]:
    from pipeline.embedded import EmbeddedKafka, EmbeddedSettings  # noqa: PLC0415 - an optional extra

    settings = EmbeddedSettings(data_dir=data_dir_of(directory), port=port)
    async with EmbeddedKafka(settings, lambda line: typer.echo(line, err=True)) as broker:
        yield broker


@contextlib.contextmanager
def _told_of_its_end(broker: EmbeddedKafka) -> Iterator[None]:
    """Say so, once, when the broker dies under a running `pipeline dev`: everything waits for it from then on."""

    async def watch() -> None:
        while (why := broker.failure()) is None:  # noqa: ASYNC110 - a child process has no event to wait for
            await asyncio.sleep(BROKER_LOOK_S)
        typer.echo(f"error: the embedded Kafka has ended: {why}; stop this and start it again", err=True)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


async def _serve_with_gateway(config: Config, *, bridge: bool) -> None:
    gateway = config.settings.gateway
    with _listen(gateway.host, gateway.port) as listener:
        await _serve(config, listener, bridge=bridge)


async def _serve(config: Config, listener: socket.socket | None, *, bridge: bool, apply: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then stop taking requests, drain, commit. Without a listener, no gateway."""
    from pipeline.cli.declared import apply_subscriptions, apply_topics  # noqa: PLC0415 - keeps --help quick
    from pipeline.wiring import started  # noqa: PLC0415 - the same

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with started(config) as node:
        if apply:
            for step in (await apply_topics(node)).refused:
                typer.echo(str(step), err=True)
            for made in await apply_subscriptions(node):
                if made["secret"]:
                    shown = f"`pipeline subs secret {made['name']}` prints its signing secret"
                    typer.echo(f"subscription {made['name']} is made; {shown}", err=True)
        if bridge:
            await node.start_worker()
        if listener is None:
            typer.echo(f"ready bridge kafka {config.settings.kafka.bootstrap_servers}")
            await stop.wait()
        else:
            await _serve_http(node, listener, stop)


async def _serve_http(node: Node, listener: socket.socket, stop: asyncio.Event) -> None:
    import uvicorn  # noqa: PLC0415 - keeps --help quick

    app: Any = node.gateway_app()
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=10)
    )
    # Signals are this command's: uvicorn would take them over and end the process before the bridge has drained.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    keeper = asyncio.create_task(node.cursor_keeper().run())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    node.guard.deny([(host, port)])  # the configuration may have said 0, any free one
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has a flag, no event, for this
        await asyncio.sleep(0.01)
    typer.echo(f"ready http://{host}:{port} kafka {node.settings.kafka.bootstrap_servers}")
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    waiting.cancel()
    keeper.cancel()
    await serving


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `DeclarationInvalid` when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise DeclarationInvalid(
            "gateway.port", f"{host}:{port}", f"an address that is free ({os.strerror(error.errno or 0)}); see --port"
        ) from None
    listener.listen(BACKLOG)
    return listener
