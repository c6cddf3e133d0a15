"""Wanted: which readings should run, by the rows alone."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.push.wanted import Wanted
from pipeline.subscription import StoredRun, stored_subscription
from tests.fakes.bridge import row_of
from tests.fakes.table import FakeTable


class Tables:
    def __init__(self) -> None:
        self.subscriptions, self.runs = FakeTable(), FakeTable()
        self.errors: list[Exception] = []
        self.wanted = Wanted(
            self.subscriptions,
            self.runs,
            namespace="app",
            defaults=lambda topic: ("/s", "t"),
            on_error=self.errors.append,
        )

    async def put(self, name: str, state: str = "active") -> None:
        row = msgspec.structs.replace(row_of(name), state=state)
        await self.subscriptions.put(name, msgspec.json.encode(row), based_on=None)

    async def put_run(self, run_id: str, subscription: str, state: str = "active") -> None:
        run = StoredRun(id=run_id, subscription=subscription, kind="replay", window={"t": {0: (0, 1)}})
        row = msgspec.json.encode(msgspec.structs.replace(run, state=state))
        await self.runs.put(run_id, row, based_on=None)


@pytest.mark.parametrize("state", ["paused", "gone", "blocked"])
async def test_only_active_subscriptions_and_runs_of_those_are_wanted(state: str) -> None:
    tables = Tables()
    await tables.put("a")
    await tables.put("b", state)
    await tables.put_run("r1", "a")
    await tables.put_run("r2", "a", "done")
    await tables.put_run("r3", "a", "cancelled")
    await tables.put_run("r4", "b")
    await tables.put_run("r5", "nobody")
    assert list(tables.wanted.readings()) == ["app.a", "app.a.replay.r1"]
    assert tables.errors == []


@pytest.mark.parametrize("value", [b"{", b'{"spec": {"of": "a later release"}}', b'{"spec": 3}'])
async def test_a_row_that_cannot_be_read_stops_no_other_and_is_told(value: bytes) -> None:
    tables = Tables()
    await tables.subscriptions.put("broken", value, based_on=None)
    await tables.runs.put("broken", value, based_on=None)
    await tables.put("a")
    assert list(tables.wanted.readings()) == ["app.a"]
    assert len(tables.errors) == 2


async def test_a_row_with_a_header_that_came_to_be_denied_is_blocked_and_says_why() -> None:
    """A later release may know more headers that are not an endpoint's: nothing is sent with them, nothing vanishes."""
    tables = Tables()
    raw = msgspec.json.decode(msgspec.json.encode(row_of("a")))
    raw["spec"]["endpoint"]["headers"] = {"X-Forwarded-For": "1.2.3.4", "x-team": "a"}
    raw["secrets"] = {"headers": {"cf-ray": "sealed1.k.x"}}
    raw["spec"]["endpoint"]["secret_headers"] = {"cf-ray": ""}
    value = msgspec.json.encode(raw)
    await tables.subscriptions.put("a", value, based_on=None)
    assert tables.wanted.readings() == {} and tables.errors == []
    row = stored_subscription(value)
    assert row.state == "blocked" and "X-Forwarded-For, cf-ray" in row.reason
    assert row.spec.endpoint.headers == {"x-team": "a"} and row.secrets.headers == {}
    assert row.spec.endpoint.secret_headers == {}


async def test_what_did_not_change_is_not_made_again() -> None:
    tables = Tables()
    await tables.put("a")
    await tables.put("b")
    await tables.put_run("r1", "a")
    before = tables.wanted.readings()
    row = tables.subscriptions.get("b")
    assert row is not None
    changed = msgspec.structs.replace(row_of("b"), generation=7)
    await tables.subscriptions.put("b", msgspec.json.encode(changed), based_on=row.version)
    after = tables.wanted.readings()
    assert [after[group] is before[group] for group in ("app.a", "app.a.replay.r1", "app.b")] == [True, True, False]
    assert after["app.b"].row.generation == 7


async def test_a_filter_this_release_does_not_know_stops_no_other() -> None:
    tables = Tables()
    await tables.put("a")
    row = row_of("b", filters=[{"sql": "true"}])
    await tables.subscriptions.put("b", msgspec.json.encode(row), based_on=None)
    assert list(tables.wanted.readings()) == ["app.a"]
    assert ["/filters/0/sql" in str(error) for error in tables.errors] == [True]


async def test_a_run_whose_shadow_has_a_header_denied_since_waits_for_an_operator() -> None:
    tables = Tables()
    await tables.put("a")
    await tables.put_run("r1", "a")
    row = tables.runs.get("r1")
    assert row is not None
    raw = msgspec.json.decode(row.value)
    raw["endpoint"] = {"url": "https://shadow.example.org/", "headers": {"cf-ray": "x"}}
    await tables.runs.put("r1", msgspec.json.encode(raw), based_on=row.version)
    assert list(tables.wanted.readings()) == ["app.a"] and tables.errors == []
