"""Makes an empty directory a formatted KRaft log directory, without a second JVM.

``bootstrap.checkpoint`` is what ``kafka.tools.StorageTool format`` of the pinned release writes: the newest feature
levels as one record batch, nothing of the cluster's identity (KIP-778). Identity is in ``meta.properties`` (KIP-631,
KIP-858), written last and by a rename, because Kafka takes a directory that has it for a formatted one.
"""

from __future__ import annotations

import base64
import uuid
from importlib import resources
from pathlib import Path


def new_id() -> str:
    """A Kafka Uuid as text: 22 characters of URL-safe base64; no leading dash, which tools take for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def format_log_dir(logs: Path) -> None:
    """Does nothing to a directory that is formatted already."""
    meta = logs / "meta.properties"
    if meta.exists():
        return
    logs.mkdir(parents=True, exist_ok=True)
    checkpoint = resources.files("pipeline.embedded").joinpath("bootstrap.checkpoint").read_bytes()
    (logs / "bootstrap.checkpoint").write_bytes(checkpoint)
    part = logs / "meta.properties.part"
    part.write_text(f"version=1\ncluster.id={new_id()}\nnode.id=1\ndirectory.id={new_id()}\n")
    part.rename(meta)
