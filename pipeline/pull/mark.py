"""What a named cursor writes beside its committed offsets: when a client moved it and when we last kept it alive; pure.

``pc1:<moved ms>:<kept ms>.`` The full stop ends it: confluent-kafka 2.16.1 writes a NUL behind metadata and reads past
the end of what other clients wrote, so whatever follows is not ours. Offsets moved by a tool carry no mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_MARK = re.compile(r"pc1:(\d{1,15}):(\d{1,15})\.")


class Mark(NamedTuple):
    moved_at_ms: int
    kept_at_ms: int

    def text(self) -> str:
        return f"pc1:{self.moved_at_ms}:{self.kept_at_ms}."


def parse_mark(metadata: str | None) -> Mark | None:
    """The mark, None where a tool or another client committed."""
    match = _MARK.match(metadata or "")
    return Mark(int(match[1]), int(match[2])) if match else None


def moved_at_ms(marks: Iterable[Mark | None]) -> int | None:
    """When a client last moved the cursor; None when nobody knows."""
    return max((mark.moved_at_ms for mark in marks if mark is not None), default=None)


def needs_keeping(marks: Iterable[Mark | None], now_ms: int, every_ms: int) -> bool:
    """Whether some partition's offset was not committed for ``every_ms``.

    Kafka forgets the offsets of a group without members 7 days after their last commit (offsets.retention.minutes),
    each partition by itself. One that carries no mark has an unknown age.
    """
    return any(mark is None or now_ms - mark.kept_at_ms >= every_ms for mark in marks)
