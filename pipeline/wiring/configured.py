"""What the configuration says in so many words, made: the guard, the worker's name, the history, the certificates."""

from __future__ import annotations

import os
import re
import socket

import msgspec

from pipeline.config import Config
from pipeline.guard import Guard
from pipeline.push.parts import BridgeSettings
from pipeline.verify import HistoryWriter


def make_guard(config: Config) -> Guard:
    webhook = config.settings.webhook
    return Guard(
        allow=webhook.allow,
        allow_loopback=webhook.allow_loopback,
        allow_http=webhook.allow_http,
        ports=frozenset(webhook.ports) or None,
    )


def named_instance(bridge: BridgeSettings) -> BridgeSettings:
    """``bridge`` with a name of its own where none was given: host name and process id."""
    if bridge.instance:
        return bridge
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:60]
    return msgspec.structs.replace(bridge, instance=f"{host}-{os.getpid()}")


def open_history(config: Config) -> HistoryWriter | None:
    """What `pipeline verify` reads, where the configuration names a file for it."""
    bridge = config.settings.bridge
    if not bridge.history_file:
        return None
    return HistoryWriter(config.path(bridge.history_file), named_instance(bridge).instance)


def ca_file_of(config: Config) -> str | None:
    """The certificates that endpoints are judged by, where an operator names his own."""
    file = config.settings.webhook.ca_file
    return None if file is None else str(config.path(file))
