"""What operators do with dead letters besides redriving: discard, edit, write back; each leaves its trace."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from pipeline.deadletter import unwrap
from pipeline.errors import BrokerUnavailable, Conflict, DeclarationInvalid
from pipeline.redrive import Change, LetterNotFound, Selection
from pipeline.runs import StampedRun
from pipeline.subscription import StoredRun
from tests.unit.redrive.graveyard import DLQ, Graveyard


async def discard(yard: Graveyard, why: str = "test orders", **select: Any) -> int:
    plan = await yard.discards.plan("hook", Selection(**select), why)
    await yard.discards.create(plan, who="ann")
    return plan.count


async def test_what_is_discarded_is_offered_to_nobody_any_more(yard: Graveyard) -> None:
    for reason in ("expired", "exhausted", "expired"):
        yard.bury(reason)
    assert await discard(yard, reasons=("expired",)) == 2
    assert await yard.states() == ["discarded", "open", "discarded"]
    assert (await yard.filed())[0].fate.note == "test orders"
    assert (await yard.plan()).count == 1
    with pytest.raises(Conflict, match="no dead letter"):
        await discard(yard, reasons=("expired",))


async def test_a_discard_is_audited_with_who_and_why(yard: Graveyard) -> None:
    yard.bury()
    await discard(yard, ids=("e0",))
    ((what, name, facts),) = yard.audit.lines
    assert (what, name) == ("discard", "app.hook")
    assert (facts["who"], facts["note"], facts["offsets"]) == ("ann", "test orders", 1)


async def test_what_a_redrive_took_cannot_be_discarded(yard: Graveyard) -> None:
    yard.bury()
    await yard.redrive()
    assert (await yard.discards.plan("hook", Selection(ids=("e0",)), "why")).count == 0


async def test_what_a_redrive_took_since_the_plan_is_not_discarded_nor_written_back(yard: Graveyard) -> None:
    yard.bury()
    yard.log.create("retry", 2)
    discards = await yard.discards.plan("hook", Selection(ids=("e0",)), "why")
    writes = await yard.write_backs.plan("hook", Selection(), "retry")
    await yard.redrive()
    with pytest.raises(Conflict, match="redrive"):
        await yard.discards.create(discards)
    with pytest.raises(Conflict, match="redrive"):
        await yard.write_backs.write(writes)
    assert await yard.states() == ["redriven"] and yard.log.topics["retry"].partitions[0].records == []


async def test_a_discard_that_met_a_redrive_is_taken_back(yard: Graveyard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes at the same moment: each sees the other's row only after it wrote its own."""
    yard.bury()
    plan = await yard.discards.plan("hook", Selection(ids=("e0",)), "why")
    redrive = (await yard.plan()).draft
    real = yard.runs.record

    async def overtaken(run: StoredRun, based_on: int | None = None, *, who: str | None = None) -> StampedRun:
        await yard.runs.add(yard.runs.named(redrive))
        return await real(run, based_on, who=who)

    monkeypatch.setattr(yard.runs, "record", overtaken)
    with pytest.raises(Conflict, match="redrive"):
        await yard.discards.create(plan)
    assert [one.run.state for one in yard.runs.of("hook", "discard")] == ["cancelled"]
    assert await yard.states() == ["redriven"]


@pytest.mark.parametrize(
    ("select", "why", "field"),
    [
        ({"ids": ("x",)}, "", "/reason"),
        ({"ids": ("x",)}, "two\nlines", "/reason"),
        ({"ids": ("x",)}, "x" * 501, "/reason"),
        ({}, "all of it", "/select"),
    ],
)
async def test_a_discard_says_why_and_which(yard: Graveyard, select: Any, why: str, field: str) -> None:
    with pytest.raises(DeclarationInvalid) as raised:
        await yard.discards.plan("hook", Selection(**select), why)
    assert raised.value.field == field


async def test_an_edit_is_a_new_letter_of_the_same_id_that_says_by_whom_and_from_what(yard: Graveyard) -> None:
    own = yard.bury(redrives=2)
    change = Change(value=b"mended", headers={"ce_type": "made.v2", "ce_source": None, "x-note": "ok"})
    place = await yard.edits.edit("hook", (0, 0), change, "ann")
    made = unwrap(yard.log.topics[DLQ].partitions[0].records[place.offset])
    assert made.edit is not None
    assert (made.id, made.redrives, made.record.value, made.edit.by) == (own, 2, b"mended", "ann")
    assert (made.edit.original, made.edit.sha256) == (f"{DLQ}/0/0", sha256(b"x0").hexdigest())
    assert made.record.headers == (
        ("ce_id", b"e0"),
        ("ce_specversion", b"1.0"),
        ("ce_type", b"made.v2"),
        ("x-note", b"ok"),
    )
    assert await yard.states() == ["discarded", "open"]
    assert "edited by ann" in (await yard.letters.at("hook", 0, 0)).fate.note
    plan = await yard.plan()
    assert plan.draft.window == {DLQ: {0: (1, 2)}}


async def test_an_edited_letter_that_fails_again_says_so_still(yard: Graveyard) -> None:
    own = yard.bury()
    await yard.edits.edit("hook", (0, 0), Change(value=None), "ann")
    yard.bury_again(own)
    last = await yard.letters.at("hook", 0, 2)
    assert last.letter.edit is not None and last.letter.edit.by == "ann"
    assert (last.letter.record.value, last.letter.redrives) == (None, 1)


async def test_headers_alone_can_be_edited(yard: Graveyard) -> None:
    yard.bury()
    await yard.edits.edit("hook", (0, 0), Change(headers={"x": "y"}), "ann")
    assert (await yard.letters.at("hook", 0, 1)).letter.record.value == b"x0"


async def test_what_somebody_took_already_cannot_be_edited(yard: Graveyard) -> None:
    yard.bury()
    await yard.redrive()
    with pytest.raises(Conflict, match="redriven already"):
        await yard.edits.edit("hook", (0, 0), Change(value=b""), "ann")
    with pytest.raises(LetterNotFound):
        await yard.edits.edit("hook", (0, 9), Change(value=b""), "ann")
    with pytest.raises(DeclarationInvalid, match="edited_by"):
        yard.bury()
        await yard.edits.edit("hook", (1, 0), Change(value=b""), "")


@pytest.mark.parametrize("change", [{}, {"headers": {"dlq.group": "app.other"}}, {"headers": {"": "x"}}])
def test_an_edit_changes_something_and_no_header_of_ours(change: dict[str, Any]) -> None:
    with pytest.raises(DeclarationInvalid):
        Change(**change)


async def test_a_write_back_appends_the_events_themselves_and_nothing_of_their_death(yard: Graveyard) -> None:
    yard.log.create("repaired", 2)
    for _ in range(3):
        yard.bury()
    await yard.offsets.commit("somebody", {("repaired", 1): (0, None)})
    plan = await yard.write_backs.plan("hook", Selection(), "repaired")
    assert (plan.count, plan.readers, plan.groups_unseen) == (3, ("somebody",), 0)
    assert await yard.write_backs.write(plan, who="ann") == 3
    written = [record for part in yard.log.topics["repaired"].partitions for record in part.records]
    assert [(record.partition, record.key, record.value) for record in written] == [
        (0, b"k0", b"x0"),
        (0, b"k2", b"x2"),
        (1, b"k1", b"x1"),
    ]
    assert not any(name.startswith("dlq.") for record in written for name, _ in record.headers)
    assert await yard.states() == ["written-back"] * 3
    assert (await yard.write_backs.plan("hook", Selection(), "repaired")).count == 0


async def test_a_write_back_killed_midway_leaves_the_rest_to_the_next(
    yard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.redrive.writebacks.CHUNK", 2)
    yard.log.create("repaired", 2)
    for _ in range(7):
        yard.bury()
    plan = await yard.write_backs.plan("hook", Selection(), "repaired")
    real, begun = yard.producer.append, 0

    async def killed(*args: Any, **more: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun > 4:
            raise BrokerUnavailable("killed")
        return await real(*args, **more)

    monkeypatch.setattr(yard.producer, "append", killed)
    with pytest.raises(BrokerUnavailable):
        await yard.write_backs.write(plan)
    monkeypatch.setattr(yard.producer, "append", real)
    again = await yard.write_backs.plan("hook", Selection(), "repaired")
    assert again.count == 3
    await yard.write_backs.write(again)
    written = [record.value for part in yard.log.topics["repaired"].partitions for record in part.records]
    assert sorted(value or b"" for value in written) == [b"x%d" % number for number in range(7)]


@pytest.mark.parametrize(
    "topic", ["__consumer_offsets", "_pipeline-audit", DLQ, "app.pipeline-events", "no such", "gone"]
)
async def test_a_write_back_goes_to_no_topic_that_is_not_an_operators_to_name(yard: Graveyard, topic: str) -> None:
    yard.log.create("__consumer_offsets", 2)
    with pytest.raises(DeclarationInvalid, match="/to_topic"):
        await yard.write_backs.plan("hook", Selection(), topic)


async def test_a_write_back_keeps_partitions_or_is_refused(yard: Graveyard) -> None:
    yard.log.create("narrow", 1)
    yard.bury()
    assert (await yard.write_backs.plan("hook", Selection(), "narrow")).count == 1
    yard.bury()
    with pytest.raises(Conflict, match="narrow has 1 partitions"):
        await yard.write_backs.plan("hook", Selection(), "narrow")


async def test_a_forged_letter_is_not_written_anywhere(yard: Graveyard) -> None:
    """Threat S31: its origin header names a topic of the forger's choice."""
    yard.log.create("repaired", 2)
    yard.bury(topic="salaries")
    yard.bury(group="app.other")
    plan = await yard.write_backs.plan("hook", Selection(), "repaired")
    assert (plan.count, plan.topic) == (0, "repaired")
