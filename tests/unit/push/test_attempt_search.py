"""Attempts searched: newest first, what was asked for and nothing else, in pages that miss and repeat nothing."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BrokerUnavailable, InputError, TopicNotFound
from pipeline.faces import TopicAdmin
from pipeline.push import attempt_search
from pipeline.push.attempt import Attempt
from pipeline.push.attempt_search import AttemptPage, Attempts
from tests.fakes.admin import FakeAdmin, FakeOffsets
from tests.fakes.log import MemoryLog
from tests.fakes.view import FakeView

TOPIC = "_pipeline-attempts"
START_MS = 1_795_219_200_000  # 2026-11-21T00:00:00Z


def attempt(number: int, subscription: str = "hook", status: int = 204) -> Attempt:
    kind = "delivered" if 200 <= status < 300 else "retry"
    at, event = START_MS + number * 1000, f"e{number}"
    return Attempt(subscription, "t", 0, number, f"evt_x_0_{number}", 1, status, kind, 1, at, event=event)


class Topic:
    def __init__(self) -> None:
        self.log = MemoryLog()
        self.log.create(TOPIC)

    def append(self, *lines: Attempt) -> None:
        self.log.now_ms = max(line.at for line in lines)
        value = b"\n".join(msgspec.json.encode(line) for line in lines)
        self.log.append(TOPIC, value, key=lines[0].subscription.encode())

    def attempts(self, *, slow: bool = False) -> Attempts:
        admin = cast("TopicAdmin", FakeAdmin(self.log, FakeOffsets()))
        return Attempts(FakeView(self.log, slow=slow), admin, TOPIC)


def offsets(page: AttemptPage) -> list[int]:
    return [line.offset for line in page.attempts]


async def test_the_newest_come_first_and_only_those_of_the_subscription() -> None:
    topic = Topic()
    topic.append(attempt(0), attempt(1))
    topic.append(attempt(2, "other"))
    topic.append(attempt(3), attempt(4))
    page = await topic.attempts(slow=True).search("hook")
    assert (offsets(page), page.next) == ([4, 3, 1, 0], None)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"status": "503"}, [2]),
        ({"status": "5xx"}, [3, 2]),
        ({"status": "0"}, [1]),
        ({"status": "delivered"}, [4, 0]),
        ({"status": "failed"}, [3, 2, 1]),
        ({"event": "e2"}, [2]),
        ({"event": "evt_x_0_3"}, [3]),
        ({"event": "nobody"}, []),
        ({"since": "2026-11-21T00:00:03Z"}, [4, 3]),
        ({"since": "2026-11-21T00:00:03Z", "status": "failed"}, [3]),
        ({"since": "2026-11-22T00:00:00Z"}, []),
    ],
)
async def test_status_event_and_time_select(asked: dict[str, str], found: list[int]) -> None:
    topic = Topic()
    topic.append(attempt(0), attempt(1, status=0))
    topic.append(attempt(2, status=503), attempt(3, status=500), attempt(4))
    assert offsets(await topic.attempts().search("hook", **asked)) == found  # type: ignore[arg-type]  # texts, all


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"status": "fine"}, "/status"),
        ({"status": "6xx"}, "/status"),
        ({"since": "yesterday"}, "/since"),
        ({"limit": 0}, "/limit"),
        ({"limit": 1001}, "/limit"),
        ({"from_": "a1.x.1"}, "/from"),
        ({"from_": "v1.AAAA"}, "/from"),
    ],
)
async def test_what_cannot_be_used_is_named(asked: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as told:
        await Topic().attempts().search("hook", **asked)  # type: ignore[arg-type]  # wrong on purpose
    assert told.value.field == field


@given(
    st.lists(st.lists(st.sampled_from(["hook", "other"]), min_size=1, max_size=4), max_size=12),
    st.integers(1, 5),
    st.integers(1, 40),
)
async def test_pages_go_on_where_the_last_ended_until_everything_was_seen(
    records: list[list[str]], limit: int, scan_max: int
) -> None:
    topic, number, mine = Topic(), 0, []
    for names in records:
        lines = [attempt(number + index, names[0]) for index in range(len(names))]
        mine += [line.offset for line in lines if line.subscription == "hook"]
        number += len(names)
        topic.append(*lines)
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(attempt_search, "SCAN_RECORDS_MAX", scan_max)
        patched.setattr(attempt_search, "CHUNK_RECORDS_MIN", 2)
        page = await topic.attempts().search("hook", limit=limit)
        for _ in range(100):
            assert len(page.attempts) <= limit
            seen += offsets(page)
            if page.next is None:
                break
            page = await topic.attempts().search("hook", limit=limit, from_=page.next)
    assert page.next is None
    assert seen == mine[::-1]


async def test_what_comes_while_paging_is_in_no_later_page() -> None:
    topic = Topic()
    topic.append(attempt(0), attempt(1), attempt(2))
    page = await topic.attempts().search("hook", limit=2)
    topic.append(attempt(3))
    assert offsets(await topic.attempts().search("hook", limit=2, from_=page.next)) == [0]


async def test_a_call_looks_through_so_much_and_says_where_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic()
    topic.append(attempt(0))
    for number in range(1, 40):
        topic.append(attempt(number, "other"))
    monkeypatch.setattr(attempt_search, "SCAN_RECORDS_MAX", 20)
    page = await topic.attempts().search("hook")
    assert page.attempts == []
    assert page.next is not None


async def test_no_attempts_topic_means_no_attempts() -> None:
    class NoTopic(FakeAdmin):
        async def offsets(self, partitions: object, at: object) -> dict[tuple[str, int], int]:
            raise TopicNotFound(TOPIC)

    log = MemoryLog()
    found = Attempts(FakeView(log), cast("TopicAdmin", NoTopic(log, FakeOffsets())), TOPIC)
    assert await found.search("hook") == AttemptPage([], None)


async def test_a_log_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic()
    topic.append(attempt(0))
    found = topic.attempts()
    monkeypatch.setattr(attempt_search, "WAIT_S", 0.01)
    monkeypatch.setattr("tests.fakes.view.FakeFeed.take", lambda self, records_max: None)
    with pytest.raises(BrokerUnavailable, match="was not read"):
        await found.search("hook")
