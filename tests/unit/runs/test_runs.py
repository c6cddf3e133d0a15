"""Runs: rows that tell what was run, cancelled where they stood."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.runs import RunNotFound, Runs, RunSettings, RunUnreadable, StampedRun, in_rows
from pipeline.runs.tallies import Tally, tally_name
from pipeline.subscription import StoredRun
from tests.fakes.admin import FakeAdmin, FakeOffsets
from tests.fakes.log import MemoryLog
from tests.fakes.table import FakeTable

DLQ = "app.hook.dlq"


class Clock:
    def __init__(self) -> None:
        self.ms = 1_795_219_200_000

    def __call__(self) -> int:
        self.ms += 1
        return self.ms


class Bench:
    """Runs over a table, groups and a log that a test can look into; ``told`` and ``noted`` are what others hear."""

    def __init__(self, settings: RunSettings | None = None) -> None:
        self.table, self.offsets, self.clock, self.log = FakeTable(), FakeOffsets(), Clock(), MemoryLog()
        self.log.create("orders", 2)
        self.log.create("app.hook.dlq", 2)
        self.told, self.noted, self.tallies = Ear(), Ear(), FakeTable()
        self.runs = Runs(
            self.table,
            self.offsets,
            admin=FakeAdmin(self.log, self.offsets),
            namespace="app",
            now_ms=self.clock,
            random_hex=lambda: "beef",
            settings=settings,
            tells=self.told,
            notes=self.noted,
        )
        self.runs.tallies = self.tallies

    async def count(self, made: StampedRun, tally: Tally) -> None:
        """What a worker does every second."""
        name = tally_name(self.runs.group(made.run), "w1")
        await self.tallies.put(name, msgspec.json.encode(tally), based_on=None)

    async def finish(self, made: StampedRun) -> None:
        """What a worker does when the window is delivered."""
        done = msgspec.structs.replace(made.run, state="done")
        await self.table.put(made.run.id, msgspec.json.encode(done), based_on=made.version)


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, object]]] = []

    def tell(self, what: str, name: str, /, **facts: object) -> None:
        self.heard.append((what, name, facts))

    @property
    def whats(self) -> list[str]:
        return [what for what, _, _ in self.heard]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def runs(bench: Bench) -> Runs:
    return bench.runs


def draft(kind: str = "replay", subscription: str = "hook", **more: Any) -> StoredRun:
    window = {"orders": {0: (2, 8), 1: (0, 4)}}
    return StoredRun(**{"id": "", "subscription": subscription, "kind": kind, "window": window, **more})


def redrive(first: int, until: int, *picked: tuple[int, int]) -> StoredRun:
    return draft("redrive", window={DLQ: {0: (first, until)}}, picked={DLQ: {0: picked}} if picked else {})


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


async def test_progress_counts_the_offsets_that_are_picked(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(redrive(2, 20, (2, 4), (19, 20))))
    assert (await bench.runs.progress(made.run)).total == 3
    await bench.offsets.commit(bench.runs.group(made.run), {(DLQ, 0): (10, None)})
    assert (await bench.runs.progress(made.run)).done == 2


async def test_the_rest_takes_as_long_as_the_rate_cap_or_the_rate_measured_says(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(draft(rate_per_s=2.0)))
    assert (await bench.runs.progress(made.run)).eta_s == 5.0
    await bench.offsets.commit(bench.runs.group(made.run), {("orders", 0): (4, None)})
    bench.clock.ms += 10_000
    assert (await bench.runs.progress(made.run)).eta_s == 4.0, "nobody worked on it: the clock on the wall says nothing"
    await bench.count(made, Tally(delivered=2, active_s=10.0, reached={"orders": {0: 4}}))
    assert (await bench.runs.progress(made.run)).eta_s == pytest.approx(8 * 10 / 2, abs=0.1)
    uncapped = await bench.runs.add(bench.runs.named(draft()))
    assert (await bench.runs.progress(uncapped.run)).eta_s is None
    assert (await bench.runs.progress(uncapped.run, 5.0)).eta_s == 2.0
    paused = await bench.runs.pause("hook", "replay", made.run.id)
    assert (await bench.runs.progress(paused.run)).eta_s is None


async def test_progress_tells_what_was_delivered_from_what_was_skipped(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(draft(rate_per_s=1.0)))
    before = await bench.runs.progress(made.run)
    assert (before.delivered, before.skipped, before.left) == (None, None, 10)
    await bench.offsets.commit(bench.runs.group(made.run), {("orders", 0): (8, None), ("orders", 1): (1, None)})
    # As of the row, four offsets were settled; what was committed since is settled, but nobody has said how.
    reached = {"orders": {0: 6}}
    await bench.count(made, Tally(delivered=1, dead_lettered=1, active_s=1.0, reached=reached))
    progress = await bench.runs.progress(made.run)
    assert (progress.done, progress.left, progress.total) == (7, 3, 10)
    assert (progress.delivered, progress.dead_lettered, progress.skipped) == (1, 1, 2)
    assert progress.eta_s == 2.0, "half of what is left will be events, at one a second"
    done = msgspec.structs.replace(made.run, state="done")
    progress = await bench.runs.progress(done)
    assert (progress.left, progress.skipped, progress.eta_s) == (0, 8, 0.0)


async def test_more_deliveries_than_offsets_skip_nothing(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(draft()))
    await bench.count(made, Tally(delivered=12, active_s=1.0, reached={"orders": {0: 8, 1: 6}}))
    await bench.offsets.commit(bench.runs.group(made.run), {("orders", 0): (8, None), ("orders", 1): (6, None)})
    assert (await bench.runs.progress(made.run)).skipped == 0


async def test_what_was_counted_goes_with_its_run(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(draft()))
    await bench.count(made, Tally(delivered=1))
    await bench.tallies.put("app.hook.replay.other/w", b"{}", based_on=None)
    await bench.runs.end_of("hook", forget=True)
    assert list(bench.tallies.content) == ["app.hook.replay.other/w"]


async def test_a_run_is_paused_resumed_and_over(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(draft()), who="ann")
    name, run_id = "hook", made.run.id
    assert (await bench.runs.pause(name, "replay", run_id)).run.state == "paused"
    assert (await bench.runs.pause(name, "replay", run_id)).run.state == "paused"
    assert (await bench.runs.resume(name, "replay", run_id)).run.state == "active"
    await bench.runs.cancel(name, "replay", run_id)
    for turn in (bench.runs.pause, bench.runs.resume):
        with pytest.raises(Conflict, match="cancelled already"):
            await turn(name, "replay", run_id)
    assert bench.told.whats == ["run-started", "run-paused", "run-resumed", "run-cancelled"]
    assert bench.noted.whats == ["replay-started", "replay-paused", "replay-resumed", "replay-cancelled"]
    assert bench.noted.heard[0][2]["who"] == "ann"


async def test_a_paused_run_can_be_cancelled(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(draft()))
    await bench.runs.pause("hook", "replay", made.run.id)
    assert (await bench.runs.cancel("hook", "replay", made.run.id)).run.state == "cancelled"


async def test_a_cancelled_redrive_keeps_the_letters_it_had_done(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(redrive(2, 20, (2, 4), (19, 20))))
    await bench.offsets.commit(bench.runs.group(made.run), {(DLQ, 0): (3, None)})
    cancelled = (await bench.runs.cancel("hook", "redrive", made.run.id)).run
    assert [offset for offset in range(30) if cancelled.takes(DLQ, 0, offset)] == [2]


async def test_finished_replays_are_kept_up_to_a_number_with_their_groups() -> None:
    bench = Bench(RunSettings(kept_max=2))
    for _ in range(5):
        await bench.finish(await bench.runs.add(bench.runs.named(draft())))
    active = await bench.runs.add(bench.runs.named(draft()))
    kept = bench.runs.of("hook", "replay")
    assert [one.run.state for one in kept] == ["active", "done", "done"]
    assert kept[0].run.id == active.run.id
    assert set(bench.offsets.committed) == {bench.runs.group(one.run) for one in kept}


async def test_finished_runs_are_kept_for_a_time() -> None:
    bench = Bench(RunSettings(kept_days=1))
    await bench.finish(await bench.runs.add(bench.runs.named(draft())))
    bench.clock.ms += 2 * 86_400_000
    await bench.runs.add(bench.runs.named(draft()))
    assert len(bench.runs.of("hook", "replay")) == 1


async def test_what_forgotten_redrives_took_is_remembered() -> None:
    bench = Bench(RunSettings(kept_max=1))
    for first in (0, 3, 6, 9):
        await bench.finish(await bench.runs.add(bench.runs.named(redrive(first, first + 3, (first, first + 2)))))
    await bench.runs.forget_old("hook", "redrive")
    assert len(bench.runs.of("hook", "redrive")) == 1
    assert len(bench.runs.takers("hook")) == 2
    taken = [offset for offset in range(12) if any(run.takes(DLQ, 0, offset) for run in bench.runs.takers("hook"))]
    assert taken == [0, 1, 3, 4, 6, 7, 9, 10]


async def test_what_is_remembered_is_bounded_by_what_still_lies_there() -> None:
    bench = Bench(RunSettings(kept_max=1))
    bench.log.trim(DLQ, 0, 4)
    for first in (0, 3, 6):
        await bench.finish(await bench.runs.add(bench.runs.named(redrive(first, first + 3))))
    await bench.runs.forget_old("hook", "redrive")
    (folded,) = [run for run in bench.runs.takers("hook") if run.note]
    assert folded.picked == {DLQ: {0: ((4, 6),)}}


async def test_deleting_a_subscription_ends_its_runs_and_forgetting_drops_them(bench: Bench) -> None:
    made = await bench.runs.add(bench.runs.named(draft()))
    paused = await bench.runs.add(bench.runs.named(redrive(0, 4)))
    await bench.runs.pause("hook", "redrive", paused.run.id)
    other = await bench.runs.add(bench.runs.named(draft(subscription="other")))
    await bench.runs.end_of("hook")
    states = [bench.runs.get("hook", one.run.kind, one.run.id).run.state for one in (made, paused)]
    assert states == ["cancelled", "cancelled"]
    await bench.runs.end_of("hook", forget=True)
    assert set(bench.table.content) == {other.run.id}
    assert set(bench.offsets.committed) == {bench.runs.group(other.run)}


@pytest.mark.parametrize("wrong", [{"kept_max": 0}, {"kept_days": 0}, {"redrives_max": 0}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationInvalid, match=rf"runs\.{next(iter(wrong))}"):
        RunSettings(**wrong)


def _with_denied_header(run_id: str, **more: Any) -> bytes:
    run = StoredRun(id=run_id, subscription="hook", kind="replay", window={"orders": {0: (0, 9)}}, **more)
    raw = msgspec.json.decode(msgspec.json.encode(run))
    headers = {"X-Forwarded-For": "1.2.3.4", "x-team": "a"}
    return msgspec.json.encode(raw | {"endpoint": {"url": "https://shadow.example.org/", "headers": headers}})


async def test_a_run_whose_shadow_has_a_header_denied_since_is_paused_and_goes_on_without() -> None:
    bench = Bench()
    await bench.table.put("r1", _with_denied_header("r1", note="why"), based_on=None)
    await bench.table.put("r2", _with_denied_header("r2", state="done"), based_on=None)
    first, second = bench.runs.get("hook", "replay", "r1").run, bench.runs.get("hook", "replay", "r2").run
    assert first.state == "paused" and first.note.startswith("why; ") and "X-Forwarded-For" in first.note
    assert first.endpoint is not None and first.endpoint.headers == {"x-team": "a"}
    assert (second.state, second.note) == ("done", "")
    resumed = await bench.runs.resume("hook", "replay", "r1")
    assert resumed.run.state == "active" and bench.runs.get("hook", "replay", "r1").run == resumed.run


async def test_a_row_of_a_later_release_hinders_its_own_subscription_only_and_says_so() -> None:
    bench = Bench()
    await bench.table.put("r1", b'{"id":"r1","subscription":"hook","kind":"split","window":{}}', based_on=None)
    await bench.table.put("r2", b"[", based_on=None)
    assert bench.runs.of("other", "replay") == []
    with pytest.raises(RunUnreadable, match="r1"):
        bench.runs.of("hook", "redrive")
    with pytest.raises(RunUnreadable, match="r1"):
        bench.runs.get("hook", "replay", "r1")
