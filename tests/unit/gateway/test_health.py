"""Liveness, readiness and metrics."""

from __future__ import annotations

from tests.fakes.house import GatewayHouse


async def test_a_process_that_works_says_so() -> None:
    house = GatewayHouse()
    for target in ("/healthz", "/readyz"):
        answer = await house.call("GET", target)
        assert (answer.status, answer.json()) == (200, {"status": "ok", "reasons": []})


async def test_a_dead_part_fails_liveness_and_an_absent_broker_readiness() -> None:
    house = GatewayHouse()
    house.unhealthy.append("worker died")
    house.unready.append("no broker")
    assert (await house.call("GET", "/healthz")).json() == {"status": "unavailable", "reasons": ["worker died"]}
    answer = await house.call("GET", "/readyz")
    assert (answer.status, answer.json()["reasons"]) == (503, ["no broker"])


async def test_metrics_are_in_the_text_format() -> None:
    answer = await GatewayHouse().call("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body.startswith(b"# HELP")
