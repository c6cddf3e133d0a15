"""The same with Kafka's own tool: the ``kafka-consumer-groups`` line that would move a group there. Pure.

That line moves the live cursor, where a replay reads beside it; with the subscription paused both deliver the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pipeline.moment import rfc3339_from_ms
from pipeline.replay.asked import Bound
from pipeline.replay.window import WindowPart

TOOL = "kafka-consumer-groups"


def reset_command(group: str, begin: Bound, parts: Sequence[WindowPart]) -> str:
    """One line for a shell; where every partition begins elsewhere, it reads a plan in Kafka's CSV from its input."""
    topics = sorted({part.topic for part in parts})
    where = _where(begin)
    if where is None:
        plan = "".join(f"{part.topic},{part.partition},{part.first}\\n" for part in parts)
        words = [TOOL, "--group", group, "--reset-offsets", "--from-file", "/dev/stdin", "--execute"]
        return f"printf {shlex.quote(plan)} | {shlex.join(words)}"
    named = [word for topic in topics for word in ("--topic", topic)]
    return shlex.join([TOOL, "--group", group, *named, "--reset-offsets", *where, "--execute"])


def _where(begin: Bound) -> list[str] | None:
    match begin.kind:
        case "earliest" | "latest":
            return [f"--to-{begin.kind}"]
        case "time":
            # The tool takes no zone and means UTC; it wants the milliseconds (Utils.getDateTime).
            return ["--to-datetime", rfc3339_from_ms(begin.number).removesuffix("Z")]
        case "ago":
            return ["--by-duration", f"PT{begin.number // 1000}S"]
        case "offset":
            return ["--to-offset", str(begin.number)]
        case "shift":
            return ["--shift-by", str(begin.number)]
        case _:
            return None
