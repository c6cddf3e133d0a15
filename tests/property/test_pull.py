"""Reader: whatever the log looks like and however it is paged, every event comes once and in the order of its
partition.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pipeline.faces import TopicFacts
from pipeline.pull import Reader, ReaderSettings, Wanted
from pipeline.record import Record
from tests.fakes.admin import FakeAdmin, FakeCatalog
from tests.fakes.log import MemoryLog
from tests.fakes.view import FakeView

PARTITIONS = 3
ENOUGH = 400
# What happens to the log between two pages.
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, PARTITIONS - 1), st.integers(1, 6)),
        st.tuples(st.just("skip"), st.integers(0, PARTITIONS - 1), st.integers(1, 4)),
        st.tuples(st.just("trim"), st.integers(0, PARTITIONS - 1), st.integers(0, 5)),
    ),
    max_size=6,
)


async def rendered(topic: TopicFacts, records: Sequence[Record]) -> list[bytes]:
    return [b"%d/%d" % (record.partition, record.offset) for record in records]


def happen(log: MemoryLog, what: Sequence[tuple[str, int, int]], written: list[tuple[int, int]]) -> None:
    for kind, partition, amount in what:
        part = log.topics["t"].partitions[partition]
        if kind == "append":
            for _ in range(amount):
                written.append((partition, log.append("t", b"x" * amount, partition=partition).offset))
        elif kind == "skip":
            log.skip("t", partition, amount)
        else:
            log.trim("t", partition, min(part.start + amount, part.end))


@given(st.lists(st.tuples(happenings, st.integers(1, 9)), min_size=1, max_size=8), st.integers(1, 30))
async def test_every_event_is_read_once_or_told_as_lost(
    pages: list[tuple[list[tuple[str, int, int]], int]], page_bytes_max: int
) -> None:
    log = MemoryLog()
    log.create("t", PARTITIONS)
    view = FakeView(log)
    settings = ReaderSettings(page_bytes_max=page_bytes_max)
    reader = Reader(view, FakeCatalog(log), FakeAdmin(log), rendered, settings)
    written: list[tuple[int, int]] = []
    seen: list[tuple[int, int]] = []
    lost: set[tuple[int, int]] = set()
    page = await reader.read("t", "earliest", Wanted())
    cursor = page.next_cursor
    for what, limit in [*pages, *[([], 5)] * ENOUGH]:
        happen(log, what, written)
        page = await reader.read("t", cursor, Wanted(limit=limit))
        assert len(page.events) <= limit
        for event in page.events:
            partition, _, offset = event.partition(b"/")
            seen.append((int(partition), int(offset)))
        for gap in page.gaps:
            lost |= {(gap.partition, offset) for offset in range(gap.first, gap.until)}
        assert page.caught_up == (page.lag == 0)
        cursor = page.next_cursor
        if not what and page.caught_up:
            break
    assert page.caught_up
    assert len(seen) == len(set(seen))
    assert set(seen) | lost >= set(written) and not set(seen) & lost
    for number in range(PARTITIONS):
        own = [offset for partition, offset in seen if partition == number]
        assert own == sorted(own)
    assert view.feeds_open == 0
