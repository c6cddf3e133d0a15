"""Runs: rows that tell what was run, cancelled where they stood."""

from __future__ import annotations

import pytest

from pipeline.errors import Conflict
from pipeline.runs import RunNotFound, Runs, in_rows
from pipeline.subscription import StoredRun
from tests.fakes.admin import FakeOffsets
from tests.fakes.table import FakeTable


class Clock:
    def __init__(self) -> None:
        self.ms = 1_795_219_200_000

    def __call__(self) -> int:
        self.ms += 1
        return self.ms


@pytest.fixture
def runs() -> Runs:
    return Runs(FakeTable(), FakeOffsets(), namespace="app", now_ms=Clock(), random_hex=lambda: "beef")


def draft(kind: str = "replay", subscription: str = "hook") -> StoredRun:
    return StoredRun(
        id="",
        subscription=subscription,
        kind=kind,  # type: ignore[arg-type]  # one of the two, from a parameter
        window={"orders": {0: (2, 8), 1: (0, 4)}},
    )


def test_partitions_with_nothing_in_them_are_no_part_of_a_window() -> None:
    assert in_rows({("a", 0): (3, 3), ("a", 1): (3, 4), ("b", 0): (5, 2)}) == {"a": {1: (3, 4)}}


async def test_the_newest_comes_first(runs: Runs) -> None:
    made = [await runs.add(runs.named(draft())) for _ in range(3)]
    await runs.add(runs.named(draft(subscription="other")))
    await runs.add(runs.named(draft(kind="redrive")))
    assert [one.run.id for one in runs.of("hook", "replay")] == [one.run.id for one in reversed(made)]


async def test_ids_fit_into_group_names_and_sort_by_time(runs: Runs) -> None:
    first, second = runs.named(draft()), runs.named(draft())
    assert first.id < second.id and first.id.isalnum()
    assert first.created_at == "2026-11-21T00:00:00.001Z"


async def test_one_is_found_only_under_its_subscription_and_kind(runs: Runs) -> None:
    made = await runs.add(runs.named(draft()))
    assert runs.get("hook", "replay", made.run.id) == made
    for subscription, kind in (("other", "replay"), ("hook", "redrive")):
        with pytest.raises(RunNotFound):
            runs.get(subscription, kind, made.run.id)  # type: ignore[arg-type]  # literals, from a tuple


async def test_a_cancelled_run_keeps_only_what_it_had_done(runs: Runs) -> None:
    made = await runs.add(runs.named(draft()))
    await runs._offsets.commit(runs.group(made.run), {("orders", 0): (5, None)})
    cancelled = await runs.cancel("hook", "replay", made.run.id)
    assert cancelled.run.state == "cancelled"
    assert cancelled.run.window == {"orders": {0: (2, 5)}}
    with pytest.raises(Conflict, match="cancelled already"):
        await runs.cancel("hook", "replay", made.run.id)


async def test_progress_counts_offsets_that_are_settled(runs: Runs) -> None:
    made = await runs.add(runs.named(draft()))
    await runs._offsets.commit(runs.group(made.run), {("orders", 0): (5, None), ("orders", 1): (9, None)})
    progress = await runs.progress(made.run)
    assert (progress.done, progress.total) == (3 + 4, 6 + 4)
