"""Findings: what a committed value means to the worker that last wrote it."""

from __future__ import annotations

import pytest

from pipeline.delivery.pointer import Pointer
from pipeline.push.findings import Finding, added_later, judge

MINE = Pointer(epoch=10, owner="w1", offset=50)


def metadata(epoch: int, owner: str, offset: int) -> str:
    return Pointer(epoch=epoch, owner=owner, offset=offset).metadata()


@pytest.mark.parametrize(
    ("found", "finding"),
    [
        (None, Finding.MISSING),
        ((50, MINE.metadata()), Finding.MINE),
        ((50, MINE.metadata() + "garbage read past the end"), Finding.MINE),
        ((60, metadata(10, "w1", 60)), Finding.MINE),
        ((0, None), Finding.MOVED),
        ((50, None), Finding.MOVED),
        ((50, ""), Finding.MOVED),
        ((50, "another client's"), Finding.MOVED),
        ((50, "ep1.not readable"), Finding.MOVED),
        ((7, MINE.metadata()), Finding.MOVED),
        ((50, metadata(11, "w2", 50)), Finding.NEWER),
        ((50, metadata(10, "w2", 50)), Finding.NEWER),
        ((50, metadata(11, "w1", 50)), Finding.NEWER),
        ((7, metadata(11, "w2", 50)), Finding.NEWER),
        ((50, metadata(9, "w2", 50)), Finding.STALE),
        ((50, metadata(9, "w1", 50)), Finding.STALE),
        ((7, metadata(9, "w2", 50)), Finding.MOVED),
    ],
)
def test_what_is_found_decides(found: tuple[int, str | None] | None, finding: Finding) -> None:
    """A tool's reset has no metadata of ours, or keeps it beneath another offset; an epoch tells old from new."""
    assert judge(found, MINE) is finding


@pytest.mark.parametrize(
    ("partition", "committed", "is_new"), [(3, [0, 1, 2], True), (1, [0, 2], False), (0, [], False)]
)
def test_only_a_number_above_all_committed_ones_was_added_later(
    partition: int, committed: list[int], is_new: bool
) -> None:
    assert added_later(partition, committed) is is_new
