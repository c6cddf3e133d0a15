"""Which Kafka a command talks to when nobody named one: the one that `pipeline dev` runs in the same folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

BOOTSTRAP_SERVERS = ("kafka", "bootstrap_servers")
DATA_DIR = Path(".pipeline", "kafka")
_ADVERTISED = "advertised.listeners=PLAINTEXT://"


def data_dir_of(directory: Path) -> Path:
    """Where `pipeline dev` keeps the log of the Kafka it runs in ``directory``."""
    return directory / DATA_DIR


def local_broker(directory: Path) -> str | None:
    """``host:port`` of the Kafka that `pipeline dev` runs in ``directory`` just now; None when it runs none there."""
    from pipeline.embedded.ports import answers  # noqa: PLC0415 - an optional extra, which most folders never used

    try:
        lines = (data_dir_of(directory) / "server.properties").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(_ADVERTISED):
            address = line.removeprefix(_ADVERTISED)
            port = address.rpartition(":")[2]
            return address if port.isdigit() and answers(int(port)) else None
    return None


def or_local(directory: Path, origins: Mapping[tuple[str, ...], str]) -> str | None:
    """The local broker, unless ``origins`` say that flag, environment or file named a Kafka."""
    return None if BOOTSTRAP_SERVERS in origins else local_broker(directory)
