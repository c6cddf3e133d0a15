"""Every error is a problem document, whatever raised it; the table knows every code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from pipeline.errors import BrokerUnavailable, EmbeddedError, PipelineError
from pipeline.faces import TopicFacts
from pipeline.gateway.problems import MEANINGS
from tests.fakes.house import GatewayHouse
from tests.unit.gateway.answered import problem_of


def tree(root: type[PipelineError]) -> Iterator[type[PipelineError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


# The bridge, what it sends with and consumers raise these for themselves; the gateway cannot see them.
NEVER_MET = ("pipeline.consume.", "pipeline.push.", "pipeline.webhook.")
MET = [one for one in tree(PipelineError) if one is not EmbeddedError and not one.__module__.startswith(NEVER_MET)]


@pytest.mark.parametrize("error", MET)
def test_every_error_of_the_tree_has_a_meaning(error: type[PipelineError]) -> None:
    assert error.code in MEANINGS


def test_the_embedded_broker_is_no_business_of_http() -> None:
    assert EmbeddedError.code not in MEANINGS


def test_only_meanings_that_may_pass_by_themselves_are_503() -> None:
    retryable = {one.code for one in MET if one.retryable}
    assert {code for code in retryable if MEANINGS[code].status != 503} == set()


@pytest.mark.parametrize("target", ["/", "/v1", "/v1/nothing", "/v1/topics/", "/v1/topics/orders/stream", "/v2/topics"])
async def test_an_unknown_path_is_a_problem(target: str) -> None:
    assert problem_of(await GatewayHouse().call("GET", target)) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("DELETE", "/v1/topics/orders/events", {"GET", "HEAD", "POST"}),
        ("PATCH", "/v1/subscriptions/x", {"GET", "HEAD", "PUT", "DELETE"}),
        ("GET", "/v1/cursors/x/commit", {"POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
async def test_a_method_that_is_not_for_it_names_those_that_are(method: str, target: str, allowed: set[str]) -> None:
    answer = await GatewayHouse().call(method, target)
    assert problem_of(answer) == (405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_what_nobody_foresaw_is_500_logged_and_tells_nothing() -> None:
    house = GatewayHouse()

    async def broken(topic: str) -> TopicFacts:
        raise RuntimeError("password=hunter2")

    house.catalog.get = broken  # type: ignore[assignment,method-assign]  # the fault this test plants
    with capture_logs() as logs:
        answer = await house.call("GET", "/v1/topics/orders")
    assert problem_of(answer) == (500, "internal")
    assert b"hunter2" not in answer.body
    assert logs[0]["request_id"] == answer.headers["request-id"]


async def test_a_broker_that_is_away_is_503_on_every_question() -> None:
    house = GatewayHouse()
    house.admin.down = True
    for target in ("/v1/topics", "/v1/subscriptions/x"):
        answer = await house.call("GET", target)
        if target == "/v1/topics":
            assert problem_of(answer) == (503, BrokerUnavailable.code)
            assert answer.headers["retry-after"]


async def test_every_answer_has_an_id_of_its_own_and_is_not_sniffed() -> None:
    house = GatewayHouse()
    answers = [await house.call("GET", target) for target in ("/healthz", "/healthz", "/nothing", "/metrics")]
    assert len({answer.headers["request-id"] for answer in answers}) == 4
    assert all(answer.headers["x-content-type-options"] == "nosniff" for answer in answers)
