"""``pipeline subs`` and ``secrets``: planned, edited, tried, moved, renewed; secrets come from the environment."""

from __future__ import annotations

import json

import pytest

from pipeline.delivery.verdict import Fault, FaultKind
from pipeline.sealing import KeyRing
from pipeline.subscriptions import Sealer
from tests.unit.cli.commands import Program

FILE = """topics: [orders]
start: earliest
endpoint: {url: "https://receiver.example/hook", auth: {kind: bearer, token: "${SHOP_TOKEN}"}}
"""


@pytest.fixture
def shop(program: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A topic of two partitions and four events, and a file that declares ``hook``."""
    monkeypatch.setenv("SHOP_TOKEN", "canary-token")
    program.house.log.create("orders", 2)
    for number in range(4):
        program.house.log.append("orders", b"{}", partition=number % 2)
    (program.folder / "subscriptions").mkdir()
    (program.folder / "subscriptions" / "hook.yaml").write_text(FILE)
    return program


@pytest.fixture
def applied(shop: Program) -> Program:
    assert shop("subs", "apply").status == 0
    return shop


def test_a_plan_tells_changes_with_2_and_none_with_0(shop: Program) -> None:
    planned = shop("subs", "plan", "--json")
    assert (planned.status, planned.json_lines[0]["change"]) == (2, "created")
    assert not shop.house.subscription_rows.content
    shop("subs", "apply")
    assert shop("subs", "plan").status == 0
    (shop.folder / "subscriptions" / "hook.yaml").write_text(FILE + "rate_per_s: 5\n")
    changed = shop("subs", "plan", "--json")
    assert changed.status == 2
    assert changed.json_lines[0]["differences"] == [{"pointer": "/rate_per_s", "before": None, "after": 5}]


def test_what_no_file_declares_is_told_and_left_alone(applied: Program) -> None:
    (applied.folder / "subscriptions" / "hook.yaml").unlink()
    planned = applied("subs", "plan", "--json")
    assert (planned.status, planned.json_lines) == (0, [{"name": "hook", "change": "not declared", "differences": []}])
    assert applied("subs", "apply").status == 0
    assert "hook" in applied.house.subscription_rows.content


def test_secrets_of_a_file_come_from_the_environment_and_are_shown_nowhere(
    applied: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = applied.house.row_of("hook")
    sealer = applied.house.subscriptions.secrets.sealer
    assert sealer.unseal("hook", row.secrets.auth) == "canary-token"
    monkeypatch.setenv("SHOP_TOKEN", "canary-other")
    for words in (("subs", "plan"), ("subs", "plan", "--json"), ("subs", "show", "hook"), ("subs", "apply")):
        ended = applied(*words)
        assert "canary" not in ended.out + ended.err
    assert sealer.unseal("hook", applied.house.row_of("hook").secrets.auth) == "canary-other"


def test_a_variable_that_is_not_set_is_named_with_file_and_key(shop: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_TOKEN")
    ended = shop("subs", "apply")
    assert ended.status == 1
    for word in ("hook.yaml", "/endpoint/auth/token", "SHOP_TOKEN"):
        assert word in ended.err


def test_two_dollars_stand_for_one(shop: Program) -> None:
    text = 'topics: [orders]\nendpoint: {url: "https://receiver.example/hook", headers: {x-t: "$${SHOP_TOKEN}"}}\n'
    (shop.folder / "subscriptions" / "hook.yaml").write_text(text)
    shop("subs", "apply")
    assert shop.house.row_of("hook").spec.endpoint.headers == {"x-t": "${SHOP_TOKEN}"}


def test_one_is_made_by_flags_once(shop: Program) -> None:
    words = (
        "subs",
        "create",
        "shop",
        "--topic",
        "orders",
        "--url",
        "https://x.example/in",
        "--set",
        "retry.give_up_after_s=60",
    )
    made = shop(*words, "--json")
    assert made.status == 0 and made.json_lines[0]["secret"].startswith("whsec_")
    assert shop.house.row_of("shop").spec.retry.give_up_after_s == 60
    again = shop(*words)
    assert again.status == 3 and again.err.startswith("refused: ")


def test_an_edit_is_shown_first_and_keeps_the_rest(applied: Program) -> None:
    words = ("subs", "edit", "hook", "--set", "in_flight_max=9", "--set", "endpoint.method=PUT")
    assert applied(*words).status == 2
    assert applied.house.row_of("hook").spec.in_flight_max == 128
    done = applied(*words, "--execute", "--json")
    assert (done.status, done.json_lines[0]["change"]) == (0, "changed")
    spec = applied.house.row_of("hook").spec
    assert (spec.in_flight_max, spec.endpoint.method, spec.start) == (9, "PUT", "earliest")
    applied("subs", "edit", "hook", "--unset", "in_flight_max", "--execute")
    assert applied.house.row_of("hook").spec.in_flight_max == 128
    assert applied("subs", "edit", "hook", "--set", "in_flight_max").status == 1


def test_a_test_tells_what_came_back_and_fails_when_it_was_not_taken(applied: Program) -> None:
    good = applied("subs", "test", "hook", "--json")
    assert (good.status, json.loads(good.out)["status"]) == (0, 204)
    applied.house.endpoint.answer = Fault(FaultKind.TIMEOUT, "no answer", 15.0)
    bad = applied("subs", "test", "hook", "--json")
    assert (bad.status, json.loads(bad.out)["fault"]) == (1, "timeout")


def test_a_renewed_secret_is_shown_this_once(applied: Program) -> None:
    shown = json.loads(applied("subs", "rotate-secret", "hook", "--json").out)
    listed = [one["secret"] for one in applied("subs", "secret", "hook", "--json").json_lines]
    assert listed[0] == shown["secret"] and len(listed) == 2
    assert applied("subs", "secret", "hook").out.split() == listed


def test_a_reset_is_a_plan_with_2_until_told_to_execute(applied: Program) -> None:
    planned = applied("subs", "reset", "hook", "--to", "latest", "--json")
    assert planned.status == 2
    *parts, last = planned.json_lines
    assert [(part["from"], part["to"], part["count"]) for part in parts] == [(0, 2, 2), (0, 2, 2)]
    assert last["commands"][0].startswith("kafka-consumer-groups ")
    done = applied("subs", "reset", "hook", "--offset", "orders:1=1", "--execute")
    assert done.status == 0
    assert [one.offset for one in applied.house.offsets.committed["app.hook"].values()] == [0, 1]


def test_a_reset_beyond_the_log_is_refused_with_3(applied: Program) -> None:
    assert applied("subs", "reset", "hook", "--shift", "50").status == 3
    refused = applied("subs", "reset", "hook", "--shift", "50", "--execute")
    assert refused.status == 3 and "refused" in refused.err
    assert applied("subs", "reset", "hook", "--shift", "50", "--execute", "--allow-clamp").status == 0
    assert applied("subs", "reset", "hook", "--offset", "nonsense").status == 1


def test_without_attempts_that_is_said(applied: Program) -> None:
    ended = applied("subs", "attempts", "hook")
    assert (ended.status, ended.out) == (0, "no attempts of hook were found\n")


def test_rewrapping_tells_which_were_sealed_again(applied: Program) -> None:
    keeper = applied.house.subscriptions.secrets
    keeper.sealer = Sealer(KeyRing([("k2", bytes(32)), ("k1", bytes(range(32)))]), keeper.sealer.random)
    assert applied("secrets", "rewrap", "--json").json_lines == [{"name": "hook", "rewrapped": True}]
    assert applied("secrets", "rewrap", "--json").json_lines == [{"name": "hook", "rewrapped": False}]
    [told] = applied.house.audit.of("secrets-rewrapped")
    assert told["keys"] == {"before": ["k1"], "after": ["k2"]} and str(told["who"]).startswith("cli ")
    assert isinstance(told["before"], dict) and isinstance(told["after"], dict)


def test_verbs_are_written_down_with_who_typed_them(applied: Program) -> None:
    applied("subs", "pause", "hook", "--json")
    applied("subs", "resume", "hook", "--json")
    assert json.loads(applied("subs", "delete", "hook", "--json").out) == {
        "name": "hook",
        "state": "deleted",
        "forgotten": False,
    }
    told = [what for what, _, _ in applied.house.audit.lines]
    assert told == ["subscription-created", "subscription-paused", "subscription-resumed", "subscription-deleted"]
    assert all(str(facts["who"]).startswith("cli ") for _, _, facts in applied.house.audit.lines)
