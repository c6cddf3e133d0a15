"""Dead letters looked through: found by their marks, told apart from what others wrote, counted, exported."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.deadletter import Failure, wrap
from pipeline.record import Headers, Record
from pipeline.redrive import Foreign, LetterNotFound, Search, Selection, Tally
from pipeline.redrive.export import exported
from pipeline.redrive.selection import IDS_MAX
from tests.fakes.house import facts_of
from tests.unit.redrive.graveyard import DLQ, Graveyard

FAILURE = Failure(
    reason="exhausted", attempts=3, first_failed_at="2026-11-20T22:00:00Z", last_failed_at="2026-11-20T22:10:00Z"
)


async def test_dead_letters_are_found_by_each_of_their_marks(yard: Graveyard) -> None:
    first, second, third = yard.bury(http_status=500), yard.bury("expired", kind=b"paid"), yard.bury(http_status=503)
    assert await yard.found() == sorted([first, second, third])
    assert await yard.found(reasons=("expired",)) == [second]
    assert await yard.found(statuses=(503, 404)) == [third]
    assert await yard.found(keys=("k0", "k9")) == [first]
    assert await yard.found(types=("paid",)) == [second]
    assert await yard.found(since="2026-11-21T00:01:00Z") == sorted([second, third])
    assert await yard.found(ids=(first, "e2")) == sorted([first, third])
    assert await yard.found(filters=({"not": {"exact": {"type": "made"}}},)) == [second]
    assert await yard.found(reasons=("exhausted",), statuses=(500,)) == [first]


async def test_a_type_is_found_where_the_event_is_structured_or_none(yard: Graveyard) -> None:
    records: list[tuple[bytes, Headers]] = [
        (
            b'{"specversion":"1.0","id":"1","source":"/s","type":"paid"}',
            (("content-type", b"application/cloudevents+json"),),
        ),
        (b"plain", ()),
        (b"{", (("content-type", b"application/cloudevents+json"),)),
    ]
    for offset, (body, headers) in enumerate(records):
        key, value, wrapped = wrap(Record("orders", 0, offset, 1, b"k", body, headers), "app.hook", FAILURE)
        yard.log.append(DLQ, value, key=key, headers=wrapped, partition=0)
    assert await yard.found(types=("paid",)) == ["orders/0/0/app.hook"]
    assert await yard.found(types=("orders.record",)) == ["orders/0/1/app.hook"]
    assert await yard.found(ids=("1",)) == ["orders/0/0/app.hook"]
    assert len(await yard.found()) == 3


async def test_a_search_stops_at_its_limit_and_goes_on_from_its_cursor(yard: Graveyard) -> None:
    ids = [yard.bury() for _ in range(7)]
    page = await yard.letters.search("hook", Search(limit=3), None)
    rest = await yard.letters.search("hook", Search(limit=100), page.next_cursor)
    assert len(page.letters) == 3 and rest.caught_up
    assert sorted(filed.letter.id for filed in (*page.letters, *rest.letters)) == sorted(ids)


async def test_a_search_looks_at_a_bounded_number_of_dead_letters(yard: Graveyard) -> None:
    for _ in range(20):
        yard.bury()
    wanted = Search(select=Selection(reasons=("expired",)), limit=5, scanned_max=10)
    page = await yard.letters.search("hook", wanted, None)
    assert not page.caught_up and page.letters == []


async def test_what_became_of_letters_can_be_asked_for(yard: Graveyard) -> None:
    first, second = yard.bury(), yard.bury()
    await yard.finish(await yard.redrive(ids=(first,)))
    page = await yard.letters.search("hook", Search(states=frozenset(["open"])), None)
    assert [filed.letter.id for filed in page.letters] == [second]


FOREIGN: list[tuple[Headers, str, str]] = [
    ((("kafka_dlt-original-topic", b"salaries"),), "spring", "not written by this product"),
    ((("__connect.errors.topic", b"salaries"),), "connect", "not written by this product"),
    ((("dlq.group", b"app.hook"), ("dlq.origin.topic", b"salaries")), "pipeline", "dlq.reason is absent"),
    ((("ce_id", b"1"),), "none", "not written by this product"),
    (wrap(Record("orders", 0, 7, 1, b"k", b"{}"), "app.other", FAILURE)[2], "pipeline", "claims another group"),
    (wrap(Record("salaries", 0, 7, 1, b"k", b"{}"), "app.hook", FAILURE)[2], "pipeline", "claims a topic"),
]


@pytest.mark.parametrize(("headers", "dialect", "why"), FOREIGN, ids=range(len(FOREIGN)))
async def test_what_others_wrote_there_is_shown_as_a_claim_and_never_redriven(
    yard: Graveyard, headers: Headers, dialect: str, why: str
) -> None:
    own = yard.bury()
    yard.log.append(DLQ, b"{}", key=b"k", headers=headers, partition=0)
    page = await yard.letters.search("hook", Search(), None)
    assert [filed.letter.id for filed in page.letters] == [own]
    (foreign,) = page.foreign
    assert (page.unreadable, foreign.claim.dialect) == (1, dialect)
    assert foreign.why.startswith(why)
    assert (await yard.plan()).draft.window == {DLQ: {0: (0, 1)}}
    with pytest.raises(LetterNotFound, match=why):
        await yard.letters.at("hook", 0, 1)


async def test_letters_of_a_deleted_subscription_stay_readable(yard: Graveyard) -> None:
    own = yard.bury()
    await yard.subscriptions.delete("hook")
    assert await yard.found() == [own]


async def test_one_is_found_at_its_place_and_held_against_what_was_published(yard: Graveyard) -> None:
    yard.log.append("orders", b"x0", key=b"k0", partition=0)
    yard.log.append("orders", b"else", key=b"k1", partition=1)
    yard.log.skip("orders", 1, 5)
    for _ in range(2):
        yard.bury()
    first = await yard.letters.at("hook", 0, 0)
    assert first.letter.id == "orders/0/0/app.hook"
    assert await yard.letters.is_as_published(first.letter) is True
    assert await yard.letters.is_as_published((await yard.letters.at("hook", 1, 0)).letter) is None
    forged = yard.letters.judge("hook").read(_forged(b"k0", b"other"))
    assert not isinstance(forged, Foreign) and await yard.letters.is_as_published(forged) is False
    with pytest.raises(LetterNotFound):
        await yard.letters.at("hook", 0, 9)


def _forged(key: bytes, value: bytes) -> Record:
    wrapped = wrap(Record("orders", 0, 0, 1, key, value), "app.hook", FAILURE)
    return Record(DLQ, 0, 5, 1, *wrapped)


async def test_counts_tell_what_waits_by_reason_status_type_and_age(yard: Graveyard) -> None:
    ids = [yard.bury(http_status=500), yard.bury("expired"), yard.bury(kind=b"paid"), yard.bury(redrives=5)]
    await yard.finish(await yard.redrive(ids=(ids[0],)))
    tally = Tally(yard.log.now_ms + 3_600_000, facts_of)
    async for filed in yard.letters.all("hook", 1000):
        tally.add(filed)
    stats = tally.stats()
    assert (stats.letters, stats.states) == (4, {"open": 2, "redriven": 1, "parking": 1})
    assert stats.reasons == {"exhausted": 2, "expired": 1}
    assert (stats.statuses, stats.types) == ({"none": 3}, {"made": 2, "paid": 1})
    assert stats.ages == {"under 1 h": 3} and stats.oldest_at == "2026-11-21T00:01:00Z"


async def test_groups_beyond_a_number_count_as_others(yard: Graveyard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.redrive.stats.GROUPS_MAX", 2)
    for number in range(5):
        yard.bury(kind=b"kind%d" % number)
    tally = Tally(yard.log.now_ms, facts_of)
    async for filed in yard.letters.all("hook", 1000):
        tally.add(filed)
    assert sorted(tally.stats().types.values()) == [1, 1, 3] and tally.stats().types["(other)"] == 3


async def test_an_export_goes_over_pages_and_says_at_last_whether_that_was_all(
    yard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.redrive.export.PAGE_RECORDS", 3)
    ids = [yard.bury() for _ in range(8)]

    async def lines(limit: int, start: str | None = None) -> list[dict[str, Any]]:
        return [one async for one in exported(yard.letters, "hook", Search(limit=limit), start)]

    *letters, last = await lines(100)
    assert sorted(one["id"] for one in letters) == sorted(ids)
    assert letters[0]["value"].startswith("x") and ["ce_type", "made"] in letters[0]["headers"]
    assert last["caught_up"] is True
    *some, end = await lines(5)
    assert (len(some), end["caught_up"]) == (5, False)
    assert len(await lines(100, end["next"])) == 4


def test_a_selection_is_bounded() -> None:
    assert Selection(ids=("x",) * IDS_MAX).ids
    assert Selection().is_open and not Selection(reasons=("expired",)).is_open
