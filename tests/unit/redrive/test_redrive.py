"""Dead letters found and redriven: exactly the selected, never twice, one redrive at a time."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.deadletter import Failure, wrap
from pipeline.errors import Conflict, DeclarationInvalid, SubscriptionNotFound
from pipeline.record import Record
from pipeline.redrive import Search, Selection, redriven_by
from pipeline.runs import StampedRun
from pipeline.subscription import StoredRun
from tests.fakes.house import GatewayHouse
from tests.unit.gateway.answered import problem_of

DLQ = "app.hook.dlq"


class Graveyard(GatewayHouse):
    """A gateway with a subscription whose deliveries fail at will."""

    buried = 0

    def bury(self, reason: str = "exhausted", *, group: str = "app.hook", **more: Any) -> str:
        """A dead letter of the next record; its id."""
        offset = self.buried
        self.buried += 1
        record = Record("orders", offset % 2, offset, 1, b"k%d" % offset, b"x", (("ce_id", b"e%d" % offset),))
        failed_at = f"2026-11-21T00:{offset:02d}:00Z"
        failure = Failure(reason=reason, attempts=3, first_failed_at=failed_at, last_failed_at=failed_at, **more)
        key, value, headers = wrap(record, group, failure)
        self.log.append(DLQ, value, key=key, headers=headers, partition=offset % 2)
        return f"{record.position}/{group}"

    async def redrive(self, **select: Any) -> StampedRun:
        return await self.redrives.create(await self.redrives.plan("hook", Selection(**select)))

    async def finish(self, run: StampedRun) -> None:
        """What a worker does when the window is delivered."""
        import msgspec  # noqa: PLC0415 - used here only

        done = msgspec.structs.replace(run.run, state="done")
        await self.run_rows.put(run.run.id, msgspec.json.encode(done), based_on=run.version)

    async def found(self, **wanted: Any) -> list[str]:
        page = await self.letters.search("hook", Search(**wanted), None)
        return sorted(filed.letter.id for filed in page.letters)


@pytest.fixture
async def yard() -> Graveyard:
    yard = Graveyard()
    yard.log.create("orders", 2)
    await yard.subscriptions.put("hook", {"topics": ["orders"], "endpoint": {"url": "https://hooks.example.org/"}})
    return yard


async def test_dead_letters_are_found_by_each_of_their_marks(yard: Graveyard) -> None:
    first, second, third = yard.bury(http_status=500), yard.bury("expired"), yard.bury(http_status=503)
    assert await yard.found() == sorted([first, second, third])
    assert await yard.found(reason="expired") == [second]
    assert await yard.found(status=503) == [third]
    assert await yard.found(key="k0") == [first]
    assert await yard.found(since="2026-11-21T00:01:00Z") == sorted([second, third])


async def test_a_search_stops_at_its_limit_and_goes_on_from_its_cursor(yard: Graveyard) -> None:
    ids = [yard.bury() for _ in range(7)]
    page = await yard.letters.search("hook", Search(limit=3), None)
    rest = await yard.letters.search("hook", Search(limit=100), page.next_cursor)
    assert len(page.letters) == 3 and rest.caught_up
    assert sorted(filed.letter.id for filed in (*page.letters, *rest.letters)) == sorted(ids)


async def test_a_search_looks_at_a_bounded_number_of_dead_letters(yard: Graveyard) -> None:
    for _ in range(20):
        yard.bury()
    page = await yard.letters.search("hook", Search(reason="expired", limit=5, scanned_max=10), None)
    assert not page.caught_up and page.letters == []


async def test_records_that_are_no_dead_letters_of_it_are_counted_not_shown(yard: Graveyard) -> None:
    yard.log.append(DLQ, b"x", partition=0)
    yard.bury(group="app.other")
    own = yard.bury()
    page = await yard.letters.search("hook", Search(), None)
    assert [filed.letter.id for filed in page.letters] == [own] and page.unreadable == 2


async def test_a_redrive_takes_what_lies_there_now(yard: Graveyard) -> None:
    for _ in range(3):
        yard.bury()
    plan = await yard.redrives.plan("hook", Selection())
    yard.bury()
    run = await yard.redrives.create(plan)
    assert plan.count == 3 and plan.reasons == {"exhausted": 3}
    assert run.run.window == {DLQ: {0: (0, 2), 1: (0, 1)}}
    assert yard.offsets.commits[-1] == (f"app.hook.redrive.{run.run.id}", {(DLQ, 0): 0, (DLQ, 1): 0})


async def test_its_window_is_no_wider_than_what_it_takes(yard: Graveyard) -> None:
    for reason in ("exhausted", "exhausted", "expired", "exhausted", "expired", "exhausted"):
        yard.bury(reason)
    run = await yard.redrive(reasons=("expired",))
    assert run.run.window == {DLQ: {0: (1, 3)}}
    assert run.run.reasons == ("expired",)


async def test_a_second_redrive_takes_only_what_came_since(yard: Graveyard) -> None:
    yard.bury()
    yard.bury()
    await yard.finish(await yard.redrive())
    assert (await yard.redrives.plan("hook", Selection())).count == 0
    with pytest.raises(Conflict, match="nothing"):
        await yard.redrive()
    yard.bury()
    assert (await yard.redrive()).run.window == {DLQ: {0: (1, 2)}}


async def test_what_lies_between_redriven_ones_is_taken_by_name(yard: Graveyard) -> None:
    ids = [yard.bury() for _ in range(5)]
    await yard.finish(await yard.redrive(ids=(ids[2],)))
    run = await yard.redrive()
    assert set(run.run.ids) == {ids[0], ids[1], ids[3], ids[4]}


async def test_one_redrive_at_a_time(yard: Graveyard) -> None:
    ids = [yard.bury() for _ in range(3)]
    first = await yard.redrive(ids=(ids[0],))
    with pytest.raises(Conflict, match=first.run.id):
        await yard.redrive(ids=(ids[1],))
    await yard.runs.cancel("hook", "redrive", first.run.id)
    await yard.redrive(ids=(ids[1],))


async def test_two_processes_that_begin_at_the_same_moment_do_not_both_go_on(
    yard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.bury()
    plan = await yard.redrives.plan("hook", Selection())
    real = yard.runs.add

    async def overtaken(run: StoredRun) -> StampedRun:
        monkeypatch.setattr(yard.runs, "add", real)
        other = yard.runs.named(plan.draft)
        other = StoredRun(id=other.id + "x", subscription="hook", kind="redrive", window=other.window)
        await real(other)
        return await real(run)

    monkeypatch.setattr(yard.runs, "add", overtaken)
    with pytest.raises(Conflict, match="is active"):
        await yard.redrives.create(plan)
    assert sorted(one.run.state for one in yard.runs.of("hook", "redrive")) == ["active", "cancelled"]


async def test_a_cancelled_redrive_counts_as_far_as_it_came(yard: Graveyard) -> None:
    ids = [yard.bury() for _ in range(4)]
    run = await yard.redrive()
    await yard.offsets.commit(f"app.hook.redrive.{run.run.id}", {(DLQ, 0): (1, None)})
    await yard.runs.cancel("hook", "redrive", run.run.id)
    page = await yard.letters.search("hook", Search(), None)
    assert {filed.letter.id for filed in page.letters if filed.redriven_by} == {ids[0]}
    assert (await yard.redrives.plan("hook", Selection())).count == 3


async def test_whether_it_was_redriven_is_told_by_window_and_selection(yard: Graveyard) -> None:
    yard.bury("expired")
    page = await yard.letters.search("hook", Search(), None)
    (filed,) = page.letters

    def run(first: int, until: int, **select: Any) -> StoredRun:
        return StoredRun(id="r", subscription="hook", kind="redrive", window={DLQ: {0: (first, until)}}, **select)

    assert redriven_by(filed.place, filed.letter, [run(0, 1)]) == "r"
    assert redriven_by(filed.place, filed.letter, [run(1, 2)]) is None
    assert redriven_by(filed.place, filed.letter, [run(0, 1, reasons=("exhausted",))]) is None
    assert redriven_by(filed.place, filed.letter, [run(0, 1, ids=(filed.letter.id,))]) == "r"


@pytest.mark.parametrize("select", [{"reasons": ("boredom",)}, {"ids": ("x",) * 4001}])
def test_what_cannot_be_selected_is_named(select: dict[str, Any]) -> None:
    with pytest.raises(DeclarationInvalid, match="/select/"):
        Selection(**select)


async def test_a_subscription_must_exist(yard: Graveyard) -> None:
    with pytest.raises(SubscriptionNotFound):
        await yard.redrives.plan("nobody", Selection())


# Over HTTP.

HOOK = "/v1/subscriptions/hook"


async def test_dead_letters_are_shown_over_http(yard: Graveyard) -> None:
    own = yard.bury(http_status=500, error="internal")
    answer = (await yard.call("GET", f"{HOOK}/dead-letters?reason=exhausted&status=500&limit=10")).json()
    (shown,) = answer["dead_letters"]
    assert shown["id"] == own and shown["origin"] == {"topic": "orders", "partition": 0, "offset": 0}
    assert (shown["key"], shown["event"], shown["redriven_by"]) == ("k0", {"id": "e0"}, None)
    assert answer["caught_up"] is True and answer["next"].startswith("v1.")


async def test_a_redrive_is_a_dry_run_unless_told_otherwise(yard: Graveyard) -> None:
    yard.bury()
    dry = await yard.call("POST", f"{HOOK}/redrives")
    assert (dry.status, dry.json()) == (200, {"dry_run": True, "count": 1, "reasons": {"exhausted": 1}})
    wet = await yard.call("POST", f"{HOOK}/redrives", json_body={"dry_run": False, "rate_per_s": 5})
    assert wet.status == 201 and wet.json()["rate_per_s"] == 5 and wet.json()["count"] == 1
    one = await yard.call("GET", wet.headers["location"])
    assert one.json()["progress"] == {"done": 0, "total": 1, "eta_s": 0.2} and one.json()["state"] == "active"
    again = await yard.call("POST", f"{HOOK}/redrives", json_body={"dry_run": False})
    assert problem_of(again) == (409, "conflict")
    cancelled = await yard.call("POST", f"{wet.headers['location']}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    listed = (await yard.call("GET", f"{HOOK}/redrives")).json()["redrives"]
    assert [one["id"] for one in listed] == [wet.json()["id"]]


async def test_a_replay_is_made_listed_and_cancelled(yard: Graveyard) -> None:
    yard.log.append("orders", b"x", partition=0)
    dry = await yard.call("POST", f"{HOOK}/replays", json_body={"from": "earliest", "dry_run": True})
    assert dry.json()["count"] == 1
    made = await yard.call("POST", f"{HOOK}/replays", json_body={"from": "earliest"})
    assert made.status == 201 and made.json()["window"] == {"orders": {"0": [0, 1]}}
    assert made.json()["group"] == f"app.hook.replay.{made.json()['id']}"
    assert (await yard.call("POST", f"{made.headers['location']}/cancel")).json()["state"] == "cancelled"
    assert problem_of(await yard.call("POST", f"{made.headers['location']}/cancel")) == (409, "conflict")
    assert problem_of(await yard.call("GET", f"{HOOK}/replays/none")) == (404, "not-found")


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("redrives", {"select": {"reason": "exhausted"}}),
        ("redrives", {"select": {"reasons": ["boredom"]}}),
        ("redrives", {"rate_per_s": -1}),
        ("replays", {}),
        ("replays", {"from": "monday"}),
        ("replays", {"from": "earliest", "endpoint": {"url": "https://shadow.example.org"}}),
    ],
)
async def test_a_run_that_does_not_check_is_422(yard: Graveyard, target: str, body: dict[str, Any]) -> None:
    assert problem_of(await yard.call("POST", f"{HOOK}/{target}", json_body=body)) == (422, "declaration-invalid")


@pytest.mark.parametrize("query", ["status=abc", "since=monday", "limit=0", "view=stats"])
async def test_a_search_that_does_not_check_is_400(yard: Graveyard, query: str) -> None:
    assert problem_of(await yard.call("GET", f"{HOOK}/dead-letters?{query}")) == (400, "input-invalid")
