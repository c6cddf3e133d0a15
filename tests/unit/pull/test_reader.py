"""Reader: pages, waiting, fairness, gaps and cursors that no longer hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pipeline.errors import CursorEpochChanged, CursorExpired, CursorMalformed, InputError, TopicNotFound
from pipeline.faces import TopicFacts
from pipeline.pull import CursorOutside, Page, Reader, ReaderSettings, Wanted
from pipeline.record import Record
from tests.fakes.admin import FakeAdmin, FakeCatalog
from tests.fakes.log import MemoryLog
from tests.fakes.view import FakeView


class House:
    """A reader on a log in memory; rendering writes ``partition/offset``."""

    def __init__(self, settings: ReaderSettings | None = None) -> None:
        self.log = MemoryLog()
        self.view = FakeView(self.log)
        self.admin = FakeAdmin(self.log)
        self.reader = Reader(self.view, FakeCatalog(self.log), self.admin, self.render, settings)

    @staticmethod
    async def render(topic: TopicFacts, records: Sequence[Record]) -> list[bytes]:
        return [b"%d/%d" % (record.partition, record.offset) for record in records]

    def fill(self, topic: str, partitions: int, each: int) -> None:
        self.log.create(topic, partitions)
        for number in range(partitions):
            for _ in range(each):
                self.log.append(topic, b"x", partition=number)

    async def read(self, start: str | None = None, **wanted: object) -> Page:
        return await self.reader.read("orders", start, Wanted(**wanted))  # type: ignore[arg-type]


@pytest.fixture
def house() -> House:
    return House()


async def test_pages_cover_every_event_once_in_partition_order(house: House) -> None:
    house.fill("orders", 3, 10)
    seen: list[bytes] = []
    cursor: str | None = "earliest"
    for _ in range(20):
        page = await house.read(cursor, limit=7)
        seen += page.events
        cursor = page.next_cursor
        if page.caught_up:
            break
    assert sorted(seen) == sorted(b"%d/%d" % (number, offset) for number in range(3) for offset in range(10))
    for number in range(3):
        own = [event for event in seen if event.startswith(b"%d/" % number)]
        assert own == [b"%d/%d" % (number, offset) for offset in range(10)]
    assert house.view.feeds_open == 0


async def test_nothing_named_means_from_the_beginning(house: House) -> None:
    house.fill("orders", 1, 2)
    assert (await house.read(None)).events == [b"0/0", b"0/1"]
    assert (await house.read("")).events == [b"0/0", b"0/1"]
    assert (await house.read("null")).events == [b"0/0", b"0/1"]


async def test_latest_sees_only_what_comes_after(house: House) -> None:
    house.fill("orders", 2, 5)
    page = await house.read("latest")
    assert page.events == [] and page.caught_up
    house.log.append("orders", b"x", partition=1)
    assert (await house.read(page.next_cursor)).events == [b"1/5"]


async def test_a_time_starts_at_the_first_record_not_older(house: House) -> None:
    house.fill("orders", 1, 2)
    house.log.now_ms += 60_000
    house.log.append("orders", b"x")
    assert (await house.read("time:2026-11-21T00:00:30Z")).events == [b"0/2"]


async def test_a_page_is_shared_evenly_between_partitions(house: House) -> None:
    house.fill("orders", 4, 100)
    page = await house.read("earliest", limit=40)
    counts = [sum(event.startswith(b"%d/" % number) for event in page.events) for number in range(4)]
    assert counts == [10, 10, 10, 10]


async def test_what_quiet_partitions_leave_goes_to_the_busy_one(house: House) -> None:
    house.log.create("orders", 4)
    for _ in range(50):
        house.log.append("orders", b"x", partition=2)
    assert len((await house.read("earliest", limit=40)).events) == 40


async def test_pages_of_one_starve_no_partition_even_with_markers_between(house: House) -> None:
    house.log.create("orders", 2)
    for _ in range(64):
        for number in range(2):
            house.log.append("orders", b"x", partition=number)
            house.log.skip("orders", number)
    cursor: str = "earliest"
    seen = []
    for _ in range(24):
        page = await house.read(cursor, limit=1)
        seen += page.events
        cursor = page.next_cursor
    assert {event[:1] for event in seen} == {b"0", b"1"}


async def test_the_next_cursor_passes_markers_so_that_lag_reaches_zero(house: House) -> None:
    house.fill("orders", 1, 3)
    house.log.skip("orders", 0, 2)
    page = await house.read("earliest")
    assert (page.lag, page.caught_up) == (0, True)
    assert (await house.read(page.next_cursor)).lag == 0


async def test_lag_counts_what_is_left(house: House) -> None:
    house.fill("orders", 2, 10)
    page = await house.read("earliest", limit=4)
    assert (page.lag, page.caught_up) == (16, False)


async def test_a_partition_added_later_is_read_from_its_start(house: House) -> None:
    house.fill("orders", 1, 1)
    page = await house.read("earliest")
    await house.admin.add_partitions("orders", 3)
    house.log.append("orders", b"x", partition=2)
    assert (await house.read(page.next_cursor)).events == [b"2/0"]


async def test_a_long_poll_returns_when_an_event_comes(house: House) -> None:
    house.fill("orders", 3, 0)
    start = (await house.read("latest")).next_cursor
    polling = asyncio.ensure_future(house.read(start, wait_s=30.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    house.log.append("orders", b"x", partition=1)
    assert (await polling).events == [b"1/0"]
    assert house.view.feeds_open == 0


async def test_a_long_poll_ends_empty_when_its_time_is_up(house: House) -> None:
    house.fill("orders", 1, 1)
    start = (await house.read("latest")).next_cursor
    page = await house.read(start, wait_s=0.01)
    assert (page.events, page.caught_up, page.next_cursor) == ([], True, start)


async def test_no_poll_waits_longer_than_the_cap() -> None:
    house = House(ReaderSettings(wait_s_max=0.01))
    house.fill("orders", 1, 1)
    async with asyncio.timeout(5):
        assert (await house.read("latest", wait_s=30.0)).events == []


async def test_a_reader_behind_the_end_is_not_told_that_there_is_nothing(house: House) -> None:
    house.fill("orders", 3, 4)
    house.view.slow = True
    page = await house.read("earliest")
    assert page.events


async def test_a_page_waits_a_moment_for_partitions_that_are_about_to_have_something(house: House) -> None:
    house.fill("orders", 3, 4)
    house.view.slow = True
    assert len((await house.read("earliest")).events) == 12


async def test_a_view_that_cannot_fetch_in_time_gives_an_empty_page_that_is_not_caught_up() -> None:
    house = House(ReaderSettings(settle_s=0.0))
    house.fill("orders", 1, 4)
    house.view.slow = True
    page = await house.read("earliest")
    assert (page.events, page.caught_up, page.lag) == ([], False, 4)


async def test_a_cancelled_poll_closes_its_feeds(house: House) -> None:
    house.fill("orders", 3, 0)
    polling = asyncio.ensure_future(house.read("earliest", wait_s=30.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling
    assert house.view.feeds_open == 0


async def test_a_gap_is_told_and_reading_goes_on_at_the_log_start(house: House) -> None:
    house.fill("orders", 2, 10)
    start = (await house.read("earliest", limit=4)).next_cursor
    house.log.trim("orders", 1, 6)
    page = await house.read(start)
    assert page.gaps == ((1, 2, 6),)
    assert b"1/6" in page.events and b"1/5" not in page.events


async def test_strict_refuses_a_gap_and_names_the_earliest_cursor(house: House) -> None:
    house.fill("orders", 2, 10)
    start = (await house.read("earliest", limit=4)).next_cursor
    house.log.trim("orders", 1, 6)
    with pytest.raises(CursorOutside, match="partition 1 from 2 to 5") as caught:
        await house.read(start, strict=True)
    page = await house.read(caught.value.earliest, strict=True)
    assert len(page.events) == 14 and page.gaps == ()
    assert house.view.feeds_open == 0


async def test_a_cursor_of_a_topic_made_anew_is_refused(house: House) -> None:
    house.fill("orders", 1, 1)
    cursor = (await house.read("earliest")).next_cursor
    house.log.delete("orders")
    house.fill("orders", 1, 5)
    with pytest.raises(CursorEpochChanged, match="created again"):
        await house.read(cursor)


async def test_a_cursor_beyond_the_log_end_is_refused(house: House) -> None:
    house.fill("orders", 1, 5)
    cursor = (await house.read("earliest")).next_cursor
    house.log.topics["orders"].partitions[0].end = 2
    with pytest.raises(CursorExpired, match="beyond"):
        await house.read(cursor)
    assert house.view.feeds_open == 0


async def test_a_cursor_with_partitions_the_topic_never_had_is_refused(house: House) -> None:
    house.fill("orders", 3, 1)
    cursor = (await house.read("earliest")).next_cursor
    del house.log.topics["orders"].partitions[2]
    with pytest.raises(CursorMalformed, match="partitions below 2"):
        await house.read(cursor)


@pytest.mark.parametrize("text", ["v1.", "v1.!!", "yesterday", "time:2026-11-20", "time:2026-13-20T00:00:00Z", "@x y"])
async def test_what_is_no_start_is_refused(house: House, text: str) -> None:
    house.fill("orders", 1, 1)
    with pytest.raises(CursorMalformed):
        await house.read(text)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_limit_has_bounds(house: House, limit: int) -> None:
    house.fill("orders", 1, 1)
    with pytest.raises(InputError, match="limit"):
        await house.read(limit=limit)


async def test_an_unknown_topic_is_not_found(house: House) -> None:
    with pytest.raises(TopicNotFound):
        await house.read()


async def test_a_page_is_bounded_in_bytes_and_loses_nothing_for_it() -> None:
    house = House(ReaderSettings(page_bytes_max=100))
    house.log.create("orders", 2)
    for number in range(2):
        for _ in range(5):
            house.log.append("orders", b"x" * 60, partition=number)
    seen: list[bytes] = []
    cursor = "earliest"
    for _ in range(10):
        page = await house.read(cursor)
        assert 1 <= len(page.events) <= 2
        seen += page.events
        cursor = page.next_cursor
        if page.caught_up:
            break
    assert sorted(seen) == sorted(b"%d/%d" % (number, offset) for number in range(2) for offset in range(5))


async def test_one_event_larger_than_the_page_still_passes() -> None:
    house = House(ReaderSettings(page_bytes_max=10))
    house.log.create("orders")
    house.log.append("orders", b"x" * 60)
    assert len((await house.read("earliest")).events) == 1


async def test_ends_the_view_does_not_know_yet_are_asked_for(house: House) -> None:
    house.fill("orders", 2, 3)
    house.view.knows_ends = False
    page = await house.read("earliest", limit=4)
    assert page.lag == 2


async def test_a_steady_poll_asks_the_broker_nothing(house: House) -> None:
    house.fill("orders", 2, 3)
    cursor = (await house.read("earliest")).next_cursor
    house.admin.calls.clear()
    house.log.append("orders", b"x", partition=0)
    await house.read(cursor)
    assert house.admin.calls == []
