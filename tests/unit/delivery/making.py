"""Records, partitions and lanes for the tests of this folder."""

from __future__ import annotations

from collections.abc import Hashable

from pipeline.delivery.lanes import Held, Lane, Part
from pipeline.delivery.verdict import Sign, Verdict, VerdictKind
from pipeline.delivery.watermark import Watermark
from pipeline.record import Headers, Record

FAILED = Verdict(VerdictKind.RETRY, "exhausted", "status 500")
REJECTED = Verdict(VerdictKind.REJECT, "rejected_4xx", "status 422")
GONE = Verdict(VerdictKind.GONE, "gone_410", "status 410")


def asked(retry_after_s: float) -> Verdict:
    return Verdict(VerdictKind.RETRY, "exhausted", "status 503", retry_after_s, 503, Sign.BUSY)


def record(offset: int = 0, key: bytes | None = b"k", size: int = 10, headers: Headers = ()) -> Record:
    return Record("orders", 0, offset, 0, key, b"x" * size, headers)


def part(name: Hashable = 0, held_of_run: Held | None = None) -> Part:
    return Part(name, Watermark(0), held_of_run or Held())


def lane(of: Part, *offsets: int, key: bytes | None = b"k") -> Lane:
    """A lane of ``of`` with a record at each of ``offsets`` (0 when none is given), all counted as held."""
    first, *behind = offsets or (0,)
    made = Lane(of, key, record(first, key))
    of.hold(made.head_bytes)
    for offset in behind:
        made.push(record(offset, key))
    return made
