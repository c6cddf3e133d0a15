"""A reset in the words of Kafka's own tool, for whoever would rather type that, or check ours."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

from pipeline.faces import Partition
from pipeline.moment import ms_from_rfc3339

# A command for each partition is told up to here; beyond, the tool's --from-file is the way.
COMMANDS_MAX = 100


def stock_commands(group: str, wanted: Mapping[Partition, int], *, to: str | None, shift: int | None) -> list[str]:
    """The ``kafka-consumer-groups`` commands that do the same; ``$BOOTSTRAP`` stands for the brokers.

    The tool takes times in UTC with milliseconds only (Kafka ``Utils.getDateTime``).
    """
    base = f"kafka-consumer-groups --bootstrap-server $BOOTSTRAP --group {shlex.quote(group)} --reset-offsets"
    topics = " ".join(f"--topic {topic}" for topic in sorted({topic for topic, _ in wanted}))
    if to in ("earliest", "latest"):
        return [f"{base} {topics} --to-{to} --execute"]
    if to is not None:
        at = datetime.fromtimestamp(ms_from_rfc3339(to, field="/to") / 1000, UTC).isoformat(timespec="milliseconds")
        return [f"{base} {topics} --to-datetime {at.removesuffix('+00:00')} --execute"]
    if shift is not None:
        return [f"{base} {topics} --shift-by {shift} --execute"]
    if len(wanted) > COMMANDS_MAX:
        return [f"{base} --from-file offsets.csv --execute  # lines of topic,partition,offset"]
    return [
        f"{base} --topic {topic}:{number} --to-offset {offset} --execute"
        for (topic, number), offset in sorted(wanted.items())
    ]
