"""The watermark against a model that looks at every offset there is."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.watermark import Watermark

END = 60
# True: a record lies there; False: a hole (compacted, a transaction marker, deleted).
LOGS = st.lists(st.booleans(), min_size=END, max_size=END)


@given(
    log=LOGS,
    start=st.integers(0, 20),
    restored=st.sets(st.integers(0, END - 1)),
    read=st.integers(0, END),
    order=st.randoms(use_true_random=False),
    share=st.floats(0, 1),
)
def test_it_never_passes_an_unfinished_record_and_never_stands_still_for_a_hole(
    log: list[bool], start: int, restored: set[int], read: int, order: Random, share: float
) -> None:
    known = {offset for offset in restored if offset >= start}
    mark = Watermark(start, AckMap((offset, offset + 1) for offset in sorted(known)))
    owed = [offset for offset in range(start, read) if log[offset] and mark.receive(offset)]
    mark.advance(read)
    assert owed == [offset for offset in range(start, read) if log[offset] and offset not in known]

    order.shuffle(remaining := list(owed))
    finished = remaining[: round(share * len(remaining))]
    for offset in finished:
        before = mark.position
        mark.finish(offset)
        assert mark.position >= before

    unfinished = [offset for offset in owed if offset not in finished]
    at = max(start, read)
    assert mark.position == (unfinished[0] if unfinished else at)
    above = mark.finished_above()
    for offset in range(mark.position, END):
        if offset < at:
            assert (offset in above) == (offset not in unfinished)
        else:
            assert (offset in above) == (offset in known)


@given(
    log=LOGS,
    settled=st.lists(st.integers(0, END - 1), max_size=END),
    reads=st.lists(st.integers(0, END), min_size=1, max_size=6),
)
def test_owners_that_crash_and_restore_lose_nothing_and_repeat_only_what_they_did_not_commit(
    log: list[bool], settled: list[int], reads: list[int]
) -> None:
    """Each owner reads some of the log, finishes some of it, commits, and is followed by another."""
    position, finished, done = 0, AckMap(), set[int]()
    for read in reads:
        mark = Watermark(position, finished)
        for offset in range(position, read):
            if log[offset] and mark.receive(offset):
                assert offset not in done, "delivered again although it was committed as finished"
        mark.advance(read)
        for offset in settled:
            if offset in mark.unfinished:
                mark.finish(offset)
                done.add(offset)
        assert mark.position >= position
        position, finished = mark.position, mark.finished_above()
        assert all(offset in done for offset in range(position) if log[offset]), "passed an unfinished record"
        assert all(offset in done for offset in range(END) if log[offset] and offset in finished)
