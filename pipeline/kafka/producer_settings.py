"""ProducerLimits and what librdkafka is told because of them."""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.kafka.client import ClientConf, KafkaSettings, client_conf

# librdkafka looks for timed-out records once a second, so they are given up that much earlier.
SCAN_MS = 1000
# How long an unknown topic may still turn up in the metadata (one just made does). The default, 30 s, outlasts the
# records' own time-out, so that they fail with no word of the reason.
TOPIC_NEWS_MS = 500


class ProducerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the append queue: what is waiting, in flight or not yet reported counts.

    ``queue_records_max`` and ``queue_bytes_max``: beyond either an append is refused (the caller slows down or
    answers 503). ``message_bytes_max``: one record's key, value and headers, before compression; keep it at or
    below the topics' ``max.message.bytes``. ``linger_s``: how long a record may wait for company in its batch.
    """

    queue_records_max: int = 100_000
    queue_bytes_max: int = 128 * 1024 * 1024
    message_bytes_max: int = 1_000_000
    linger_s: float = 0.002
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"

    def __post_init__(self) -> None:
        for field, lowest, highest in (
            ("queue_records_max", 1, 10_000_000),
            ("queue_bytes_max", 1024, 2_000_000_000),
            ("message_bytes_max", 1000, 1_000_000_000),
            ("linger_s", 0, 1),
        ):
            value = getattr(self, field)
            if not lowest <= value <= highest:
                raise DeclarationInvalid(f"producer.{field}", value, f"{lowest} to {highest}")


def producer_conf(settings: KafkaSettings, limits: ProducerLimits) -> ClientConf:
    """Acknowledged by all in-sync replicas, in order, once per append, and answered within ``request_timeout_s``."""
    return {
        **client_conf(settings, "producer"),
        "acks": "all",
        "enable.idempotence": True,
        # Java's choice of partition for a key; librdkafka's default would split one key over two partitions.
        "partitioner": "murmur2_random",
        "message.timeout.ms": max(500, int(settings.request_timeout_s * 1000) - SCAN_MS),
        "message.max.bytes": limits.message_bytes_max,
        "queue.buffering.max.messages": limits.queue_records_max,
        "queue.buffering.max.kbytes": max(1, limits.queue_bytes_max // 1024),
        "linger.ms": limits.linger_s * 1000,
        "compression.type": limits.compression,
        "topic.metadata.propagation.max.ms": TOPIC_NEWS_MS,
    }
