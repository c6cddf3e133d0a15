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
from struct import Struct
from typing import BinaryIO

# KIP-98 record batch: base offset, length of what follows it, partition leader epoch, magic.
BATCH_HEAD = Struct(">qiib")
BATCH_LENGTH_FROM = 12
MAGIC = 2


def new_id() -> str:
    """A Kafka Uuid as text: 22 characters of URL-safe base64; no leading dash, which tools take for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def format_log_dir(logs: Path, *, node_id: int = 1, cluster_id: str = "") -> None:
    """Does nothing to a directory that is formatted already. ``cluster_id``: a new one where none is given."""
    meta = logs / "meta.properties"
    if meta.exists():
        return
    logs.mkdir(parents=True, exist_ok=True)
    checkpoint = resources.files("pipeline.embedded").joinpath("bootstrap.checkpoint").read_bytes()
    (logs / "bootstrap.checkpoint").write_bytes(checkpoint)
    part = logs / "meta.properties.part"
    part.write_text(f"version=1\ncluster.id={cluster_id or new_id()}\nnode.id={node_id}\ndirectory.id={new_id()}\n")
    part.rename(meta)


def damage(logs: Path) -> str | None:
    """What is wrong with a formatted directory that Kafka would not mind, else None.

    Kafka cuts its metadata log where it cannot be read, and starts without the topics that came after. A batch torn at
    the very end is what a crash leaves, and is cut rightly; anything else is damage.
    """
    metadata = logs / "__cluster_metadata-0"
    topics = [path.name for path in logs.glob("*-*") if path.is_dir() and path != metadata]
    segments = sorted(metadata.glob("*.log"))
    if topics and not segments:
        return f"{metadata} is gone, but {logs} holds partitions ({topics[0]}, …)"
    for segment in segments:
        with segment.open("rb") as file:
            at = _unreadable_at(file, segment.stat().st_size)
        if at is not None:
            return f"{segment} cannot be read from byte {at} on"
    return None


def _unreadable_at(file: BinaryIO, size: int) -> int | None:
    at = 0
    while at + BATCH_HEAD.size <= size:
        file.seek(at)
        offset, length, _, magic = BATCH_HEAD.unpack(file.read(BATCH_HEAD.size))
        if offset < 0 or length <= 0 or magic != MAGIC:
            file.seek(at)
            # Zeros to the end are room that was never written.
            return at if file.read().strip(b"\0") else None
        at += BATCH_LENGTH_FROM + length
    return None
