"""What tests of the gateway ask of every problem document."""

from __future__ import annotations

from tests.fakes.asgi import Answer


def problem_of(answer: Answer) -> tuple[int, str]:
    """Status and code of a problem document that is one (RFC 9457) and names its request."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status
    assert problem["type"].endswith(f":{problem['code']}")
    assert problem["title"] and problem["detail"]
    assert problem["requestId"] == answer.headers["request-id"]
    return answer.status, problem["code"]


def pointers_of(answer: Answer) -> list[str]:
    return [error["pointer"] for error in answer.json()["errors"]]
