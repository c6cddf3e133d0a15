"""The Kafka that `pipeline dev` runs in a folder: other commands there talk to it unless another is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

BOOTSTRAP_SERVERS = ("kafka", "bootstrap_servers")
# What `pipeline dev` lets be that nothing else does without a setting: receivers on this machine, plain http.
DEV: Mapping[tuple[str, ...], object] = {("webhook", "allow_loopback"): True, ("webhook", "allow_http"): True}
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
