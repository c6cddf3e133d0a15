"""Dead letters redriven: exactly the selected, never twice, one redrive at a time."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import Conflict, DeclarationInvalid, FilterInvalid, SubscriptionNotFound
from pipeline.redrive import RedriveAsked, Redrives, Selection
from pipeline.runs import StampedRun, total_of
from pipeline.subscription import StoredRun
from pipeline.webhookid import id_prefix
from tests.unit.redrive.graveyard import DLQ, Graveyard


async def test_a_redrive_takes_what_lies_there_now(yard: Graveyard) -> None:
    for _ in range(3):
        yard.bury()
    plan = await yard.plan()
    yard.bury()
    run = await yard.redrives.create(plan)
    assert plan.count == 3 and plan.reasons == {"exhausted": 3}
    assert run.run.window == {DLQ: {0: (0, 2), 1: (0, 1)}}
    assert yard.offsets.commits[-1] == (f"app.hook.redrive.{run.run.id}", {(DLQ, 0): 0, (DLQ, 1): 0})


async def test_it_picks_the_very_letters_and_nothing_between_them(yard: Graveyard) -> None:
    for reason in ("exhausted", "exhausted", "expired", "exhausted", "expired", "exhausted", "expired", "exhausted"):
        yard.bury(reason)
    ids = await yard.found(reasons=("expired",))
    run = await yard.redrive(ids=(ids[0], ids[2]))
    assert run.run.window == {DLQ: {0: (1, 4)}}
    assert [offset for offset in range(5) if run.run.takes(DLQ, 0, offset)] == [1, 3]


async def test_a_second_redrive_takes_only_what_came_since(yard: Graveyard) -> None:
    yard.bury()
    yard.bury()
    await yard.finish(await yard.redrive())
    assert (await yard.plan()).count == 0
    with pytest.raises(Conflict, match="nothing"):
        await yard.redrive()
    yard.bury()
    assert (await yard.redrive()).run.window == {DLQ: {0: (1, 2)}}


async def test_what_lies_between_redriven_ones_is_taken_without_them(yard: Graveyard) -> None:
    ids = [yard.bury() for _ in range(5)]
    await yard.finish(await yard.redrive(ids=(ids[2],)))
    run = await yard.redrive()
    assert total_of(run.run) == 4 and not run.run.takes(DLQ, 0, 1)


async def test_an_events_own_id_selects_its_letter(yard: Graveyard) -> None:
    yard.bury()
    yard.bury()
    assert (await yard.plan(ids=("e1",))).draft.window == {DLQ: {1: (0, 1)}}


async def test_the_webhook_id_the_receiver_saw_selects_its_letter(yard: Graveyard) -> None:
    for _ in range(4):
        yard.bury()
    prefix = id_prefix(yard.log.topics["orders"].topic_id)
    assert [filed.webhook_id for filed in await yard.filed()] == [f"{prefix}{at % 2}_{at}" for at in range(4)]
    run = await yard.redrive(ids=(f"{prefix}1_3", f"{prefix}0_3"))
    assert run.run.window == {DLQ: {1: (1, 2)}}


async def test_a_webhook_id_of_the_topic_as_it_was_before_selects_nothing(yard: Graveyard) -> None:
    yard.bury()
    before = id_prefix(yard.log.topics["orders"].topic_id)
    yard.log.delete("orders")
    assert [filed.webhook_id for filed in await yard.filed()] == [None]
    yard.log.create("orders", 2)
    assert await yard.found(ids=(f"{before}0_0",)) == []
    assert len(await yard.found(ids=(f"{id_prefix(yard.log.topics['orders'].topic_id)}0_0",))) == 1


async def test_what_is_parking_is_taken_by_its_webhook_id(yard: Graveyard) -> None:
    yard.bury(redrives=5)
    assert (await yard.plan()).count == 0
    assert (await yard.plan(ids=(f"{id_prefix(yard.log.topics['orders'].topic_id)}0_0",))).count == 1


async def test_one_redrive_at_a_time_also_while_it_is_paused(yard: Graveyard) -> None:
    ids = [yard.bury() for _ in range(3)]
    first = await yard.redrive(ids=(ids[0],))
    with pytest.raises(Conflict, match=first.run.id):
        await yard.redrive(ids=(ids[1],))
    await yard.runs.pause("hook", "redrive", first.run.id)
    with pytest.raises(Conflict, match="is paused"):
        await yard.redrive(ids=(ids[1],))
    await yard.runs.cancel("hook", "redrive", first.run.id)
    await yard.redrive(ids=(ids[1],))


async def test_two_processes_that_begin_at_the_same_moment_do_not_both_go_on(
    yard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.bury()
    plan = await yard.plan()
    real = yard.runs.add

    async def overtaken(run: StoredRun, *, who: str | None = None) -> StampedRun:
        monkeypatch.setattr(yard.runs, "add", real)
        other = yard.runs.named(plan.draft)
        other = StoredRun(id=other.id + "x", subscription="hook", kind="redrive", window=other.window)
        await real(other)
        return await real(run)

    monkeypatch.setattr(yard.runs, "add", overtaken)
    with pytest.raises(Conflict, match="is active"):
        await yard.redrives.create(plan)
    assert sorted(one.run.state for one in yard.runs.of("hook", "redrive")) == ["active", "cancelled"]


async def test_a_plan_made_before_another_redrive_ended_takes_nothing_twice(yard: Graveyard) -> None:
    for _ in range(3):
        yard.bury()
    first, second = await yard.plan(), await yard.plan()
    run = await yard.redrives.create(first)
    await yard.finish(run)
    with pytest.raises(Conflict, match=f"redrive {run.run.id} took some"):
        await yard.redrives.create(second)
    assert len(yard.runs.of("hook", "redrive")) == 1


async def test_what_was_discarded_since_the_plan_is_not_redriven(yard: Graveyard) -> None:
    yard.bury()
    yard.bury()
    plan = await yard.plan()
    await yard.discards.create(await yard.discards.plan("hook", Selection(ids=("e1",)), "why"))
    with pytest.raises(Conflict, match="discard"):
        await yard.redrives.create(plan)
    assert (await yard.redrive()).run.picked == {DLQ: {0: ((0, 1),)}}


async def test_a_cancelled_redrive_counts_as_far_as_it_came(yard: Graveyard) -> None:
    for _ in range(4):
        yard.bury()
    run = await yard.redrive()
    await yard.offsets.commit(f"app.hook.redrive.{run.run.id}", {(DLQ, 0): (1, None)})
    await yard.runs.cancel("hook", "redrive", run.run.id)
    assert await yard.states() == ["redriven", "open", "open", "open"]
    assert (await yard.plan()).count == 3


async def test_what_came_back_too_often_is_parking_and_taken_only_by_name(yard: Graveyard) -> None:
    ids = [yard.bury(redrives=redrives) for redrives in (4, 5, 9)]
    assert await yard.states() == ["open", "parking", "parking"]
    plan = await yard.plan()
    assert (plan.count, plan.parking) == (1, 2)
    assert (await yard.plan(ids=(ids[2],))).count == 1


async def test_only_the_latest_of_a_key_may_be_wanted(yard: Graveyard) -> None:
    for number in range(4):  # orders/0: a b, orders/1: a b
        yard.log.append("orders", b"x", key=b"ab"[number // 2 :][:1], partition=number % 2)
    for key in (b"a", b"a", b"b", None):
        yard.bury(key=key)
    # The letters claim orders/0/0, orders/1/1, orders/0/2, orders/1/3; in orders/0 comes one more of key a.
    for _ in range(4):
        yard.log.append("orders", b"x", key=b"a", partition=0)
    asked = RedriveAsked(only_if_latest_for_key=True)
    plan = await yard.redrives.plan("hook", asked)
    assert (plan.count, plan.overtaken, plan.warnings) == (3, 1, ())
    assert not plan.draft.takes(DLQ, 0, 0)
    assert "after newer events" in (await yard.plan()).warnings[0]


async def test_letters_too_scattered_for_one_run_are_refused(yard: Graveyard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.redrive.drafts.SPANS_MAX", 2)
    for reason in ("expired", "expired", "exhausted", "exhausted", "expired", "expired"):
        yard.bury(reason)
    assert (await yard.plan()).count == 6
    with pytest.raises(Conflict, match="4 separate places"):
        await yard.plan(reasons=("expired",))


async def test_a_plan_looks_at_all_or_says_that_it_cannot(yard: Graveyard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.redrive.letters.PAGE_RECORDS", 2)
    for _ in range(5):
        yard.bury()
    redrives = Redrives(yard.runs, yard.letters, yard.row_of, scanned_max=3)
    with pytest.raises(Conflict, match="more than 3 records"):
        await redrives.plan("hook")


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_a_rate_is_positive(rate: float) -> None:
    with pytest.raises(DeclarationInvalid, match="rate_per_s"):
        RedriveAsked(rate_per_s=rate)


@pytest.mark.parametrize(
    ("select", "field"),
    [
        ({"reasons": ("boredom",)}, "/select/reasons/0"),
        ({"ids": ("x",) * 4001}, "/select/ids"),
        ({"statuses": (42,)}, "/select/statuses"),
        ({"keys": ("k",) * 101}, "/select/keys"),
        ({"since": "monday"}, "/select/since"),
        ({"since": "2026-11-21T00:00:00"}, "/select/since"),
    ],
)
def test_what_cannot_be_selected_is_named(select: dict[str, Any], field: str) -> None:
    with pytest.raises(DeclarationInvalid) as raised:
        Selection(**select)
    assert raised.value.field == field


async def test_a_subscription_must_exist(yard: Graveyard) -> None:
    with pytest.raises(SubscriptionNotFound):
        await yard.redrives.plan("nobody")


async def test_into_data_that_lies_in_avro_no_selection_looks(yard: Graveyard) -> None:
    yard.bury()
    yard.avro.add("orders")
    assert (await yard.plan(filters=({"exact": {"type": "made"}},))).count == 1
    look: dict[str, Any] = {"filters": ({"exact": {"$.a": "x"}},)}
    for asked in (yard.plan(**look), yard.discards.plan("hook", Selection(**look), "old"), yard.filed(**look)):
        with pytest.raises(FilterInvalid, match="Avro") as caught:
            await asked
        assert caught.value.field == "/select/filters/0/exact/$.a"
