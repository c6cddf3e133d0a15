"""Topic: what a topic declaration may say, checked when made."""

from __future__ import annotations

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.names import check_topic_name


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One declared topic.

    ``schema`` names a subject under ``schemas/``: data that does not fit it is refused. ``encoding`` says how data that
    fits is stored: ``avro`` (in the Confluent frame, smaller) or ``json`` (as it came). ``event_type`` is the
    CloudEvents type given to records that carry none. ``config`` holds Kafka topic settings as text
    (``retention.ms``, ``cleanup.policy``, …). ``key`` says where a published event's key is taken from when the
    publisher names none: ``subject``, ``partitionkey`` or ``none``.
    """

    name: str
    partitions: int = 1
    replication: int | None = None
    schema: str | None = None
    encoding: str = "avro"
    event_type: str | None = None
    key: str = "partitionkey"
    description: str = ""
    config: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_topic_name(self.name)
        if self.name.startswith("_"):
            raise DeclarationInvalid("name", self.name, "a name that does not start with _ (those are internal)")
        if not 1 <= self.partitions <= 10_000:
            raise DeclarationInvalid("partitions", self.partitions, "1 to 10000")
        if self.replication is not None and not 1 <= self.replication <= 32:
            raise DeclarationInvalid("replication", self.replication, "1 to 32, or absent for the broker's default")
        if self.encoding not in ("avro", "json"):
            raise DeclarationInvalid("encoding", self.encoding, "avro or json")
        if self.key not in ("subject", "partitionkey", "none"):
            raise DeclarationInvalid("key", self.key, "subject, partitionkey or none")
