"""What is found where a pointer should be, and what that means. Pure.

The committed value alone is the truth, and others may move it at any time: an operator with a stock tool (empty
metadata), another worker (our prefix).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from pipeline.delivery.pointer import Pointer, is_ours, read_pointer


class Finding(Enum):
    """``MINE``: this worker wrote it. ``MOVED``: an operator moved it: begin afresh there. ``MISSING``: it was
    deleted: write it again. ``NEWER``: a newer owner wrote it: this worker is stale. ``STALE``: an older owner wrote
    after us: write over it.
    """

    MINE = "mine"
    MOVED = "moved"
    MISSING = "missing"
    NEWER = "newer"
    STALE = "stale"


def judge(found: tuple[int, str | None] | None, mine: Pointer) -> Finding:
    """What the committed value ``found`` means to the worker that last wrote ``mine``."""
    if found is None:
        return Finding.MISSING
    offset, metadata = found
    if not is_ours(metadata):
        return Finding.MOVED
    theirs = read_pointer(offset, metadata)
    if theirs is None:
        return Finding.MOVED
    wrote_it = theirs.owner == mine.owner and theirs.epoch == mine.epoch
    if theirs.epoch >= mine.epoch and not wrote_it:
        return Finding.NEWER
    if _base_of(metadata) != str(offset):
        # A tool that keeps metadata moved the offset beneath it.
        return Finding.MOVED
    # Ours also where the offset is another than we know of: a commit whose answer was lost.
    return Finding.MINE if wrote_it else Finding.STALE


def _base_of(metadata: str | None) -> str:
    """The offset that metadata of ours says it belongs to."""
    return (metadata or "").split(".", 4)[3]


def added_later(partition: int, committed: Iterable[int], counted: int = 0) -> bool:
    """Whether a partition without a pointer was added to its topic after the start positions were committed.

    Start positions are committed for every partition at once, so a number above all committed ones is new and starts
    at 0; any other was lost (expired, deleted) and is never guessed. ``counted``: how many partitions had pointers as
    the pointers that are there tell, so that the highest ones cannot vanish unnoticed.
    """
    numbers = list(committed)
    return bool(numbers) and partition > max(numbers) and partition >= counted
