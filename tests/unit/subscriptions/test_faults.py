"""Every fault of a declaration is told at once, by its place, and none repeats a secret."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import AddressBlocked, DeclarationInvalid, FilterInvalid
from pipeline.guard import Guard
from pipeline.subscriptions import DeclarationsInvalid, EndpointBlocked, FiltersInvalid
from pipeline.subscriptions.declared import check_declared

GOOD: dict[str, Any] = {"topics": ["orders"], "endpoint": {"url": "https://hooks.example.org/in"}}
CANARY = "canary-93ab"


def faults_of(declared: dict[str, Any]) -> list[str]:
    with pytest.raises(DeclarationsInvalid) as caught:
        check_declared("hook", declared, Guard())
    assert CANARY not in str(caught.value)
    return sorted(one.field for one in caught.value.problems)


def test_faults_of_every_part_are_told_together() -> None:
    declared = {
        "topics": ["orders", "_internal", "bad name", 7],
        "colour": 1,
        "in_flight_max": 0,
        "rate_per_s": "fast",
        "endpoint": {"url": "ftp://x", "verb": "PUT", "timeout_s": 0, "method": "GET"},
        "retry": {"schedule_s": "never", "give_up_after_s": 0},
        "signing": {"v1": False},
        "batch": {"max_events": 0, "max_bytes": 1},
        "filters": [{"exact": {"type": "x"}}, {"sql": "1"}, {"any": []}],
    }
    assert faults_of(declared) == [
        "/batch/max_bytes",
        "/batch/max_events",
        "/colour",
        "/endpoint/method",
        "/endpoint/timeout_s",
        "/endpoint/url",
        "/endpoint/verb",
        "/filters/1/sql",
        "/filters/2/any",
        "/in_flight_max",
        "/rate_per_s",
        "/retry/give_up_after_s",
        "/retry/schedule_s",
        "/signing",
        "/topics/1",
        "/topics/2",
        "/topics/3",
    ]


@pytest.mark.parametrize(
    ("endpoint", "pointers"),
    [
        ({"auth": CANARY}, ["/endpoint/auth"]),
        ({"auth": {"kind": "magic", "token": CANARY}}, ["/endpoint/auth/kind"]),
        ({"auth": {"kind": "bearer", "token": {"x": CANARY}}}, ["/endpoint/auth/token"]),
        ({"auth": {"kind": "bearer", "token": f"{CANARY} with a space"}}, ["/endpoint/auth/token"]),
        ({"auth": {"kind": "basic", "password": CANARY}, "colour": 1}, ["/endpoint/auth/username", "/endpoint/colour"]),
        ({"secret_headers": [CANARY]}, ["/endpoint/secret_headers"]),
        ({"secret_headers": {"x-key": f"{CANARY}\n"}}, ["/endpoint/secret_headers/x-key"]),
        ({"headers": {"x-key": f"{CANARY}\n"}}, ["/endpoint/headers/x-key"]),
        (
            {"headers": {"Authorization": CANARY}, "auth": {"kind": "bearer", "token": "t"}},
            ["/endpoint/headers/authorization"],
        ),
    ],
)
def test_a_fault_beside_a_secret_does_not_repeat_it(endpoint: dict[str, Any], pointers: list[str]) -> None:
    assert faults_of({**GOOD, "endpoint": {**GOOD["endpoint"], **endpoint}}) == pointers


def test_a_whole_part_of_the_wrong_kind_is_one_fault() -> None:
    assert faults_of({**GOOD, "endpoint": CANARY, "retry": 5}) == ["/endpoint", "/retry"]
    assert faults_of({}) == ["/endpoint", "/topics"]


def test_a_name_other_than_the_paths_is_a_fault_among_the_others() -> None:
    assert faults_of({**GOOD, "name": "other", "format": "x"}) == ["/format", "/name"]


def test_the_number_of_faults_told_is_limited() -> None:
    assert len(faults_of({**GOOD, **{f"k{number}": 1 for number in range(80)}})) == 50


def test_values_that_nest_without_end_are_judged_too() -> None:
    nested: Any = "x"
    for _ in range(900):
        nested = [nested]
    assert faults_of({**GOOD, "colour": nested}) == ["/colour"]


def test_only_filters_wrong_is_a_fault_of_filters() -> None:
    with pytest.raises(FilterInvalid) as caught:
        check_declared("hook", {**GOOD, "filters": [{"sql": "1"}, {"exact": {}}]}, Guard())
    assert isinstance(caught.value, FiltersInvalid)
    assert [one.field for one in caught.value.problems] == ["/filters/0/sql", "/filters/1/exact"]


@pytest.mark.parametrize(
    ("filters", "faults"),
    [
        ([{"exact": {"type": "x", "h.a": "y"}}], []),
        ([{"exact": {"type": "x"}}, {"not": {"prefix": {"$['a/b']": "y"}}}], ["/filters/1/not/prefix/$['a~1b']"]),
        ([{"not": {"prefix": {"$.a": "y"}}}], ["/filters/0/not/prefix/$.a"]),
    ],
)
def test_into_data_that_lies_in_avro_no_filter_looks(filters: Any, faults: list[str]) -> None:
    declared = {**GOOD, "topics": ["plain", "packed"], "filters": filters}
    try:
        check_declared("hook", declared, Guard(), lambda topic: topic == "packed")
        found = []
    except FiltersInvalid as error:
        assert "packed" in str(error)
        found = [one.field for one in error.problems]
    assert found == faults
    check_declared("hook", {**declared, "topics": ["plain"]}, Guard(), lambda topic: topic == "packed")


def test_only_blocked_addresses_are_told_as_such_each_by_its_place() -> None:
    oauth = {"kind": "oauth2-client-credentials", "token_url": "https://10.0.0.1/token", "client_id": "x"}
    declared = {**GOOD, "endpoint": {"url": "https://127.0.0.1/", "auth": oauth}}
    with pytest.raises(AddressBlocked) as caught:
        check_declared("hook", declared, Guard())
    assert isinstance(caught.value, EndpointBlocked)
    assert [one.field for one in caught.value.problems] == ["/endpoint/url", "/endpoint/auth/token_url"]


def test_what_is_right_is_made() -> None:
    spec = check_declared("hook", {**GOOD, "name": "hook"}, Guard())
    assert (spec.name, spec.topics) == ("hook", ("orders",))
    with pytest.raises(DeclarationInvalid):
        check_declared("hook", {**GOOD, "batch": {"max_events": 0}}, Guard())
