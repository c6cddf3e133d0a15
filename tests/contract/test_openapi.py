"""The HTTP surface against its own document: schemathesis asks it everything the document allows, and what it does not.

The gateway stands over parts in memory, with a topic, a cursor, a subscription and a run that half of the requests are
led to; all checks of schemathesis are on.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, HookContext
from schemathesis.config import SchemathesisConfig

from pipeline.gateway import build_app
from pipeline.pull import ReaderSettings
from tests.fakes.house import ATTEMPTS, GatewayHouse

pytestmark = [pytest.mark.slow]

# So many questions to each operation; all of them together take less than a minute.
EXAMPLES = 12
DECLARED: dict[str, Any] = {"topics": ["orders"], "start": "earliest", "endpoint": {"url": "https://x.example.org/in"}}
# What the document allows may still be refused for what it means: a topic or a token that is none, two parameters that
# exclude each other, a version that is not that of now. All else has to be taken.
MEANT = [200, 201, 202, 204, 400, 404, 409, 410, 412, 415, 422]
CONFIG = {
    "generation": {"mode": "all"},
    "checks": {"positive_data_acceptance": {"expected-statuses": MEANT}},
}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,99}\Z")


def furnished() -> GatewayHouse:
    """A house where things lie that can be asked for; polls do not wait long."""
    house = GatewayHouse(reader=ReaderSettings(wait_s_max=0.02))
    house.log.create("orders", 2)
    house.log.create(ATTEMPTS)
    for _ in range(6):
        house.log.append("orders", b'{"n": 1}', key=b"k", headers=(("content-type", b"application/json"),))

    async def furnish() -> None:
        assert (await house.call("PUT", "/v1/subscriptions/hook", json_body=DECLARED)).status == 201
        assert (await house.call("PUT", "/v1/cursors/reader", json_body={"topics": ["orders"]})).status == 201
        run = await house.call("POST", "/v1/subscriptions/hook/replays", json_body={"from": "earliest"})
        KNOWN["run"] = run.json()["id"]

    asyncio.run(furnish())
    return house


KNOWN: dict[str, str] = {"topic": "orders"}
HOUSE = furnished()
schema = schemathesis.openapi.from_asgi(
    "/v1/openapi.json", build_app(HOUSE.parts), config=SchemathesisConfig.from_dict(CONFIG)
)


@schema.hook
def map_path_parameters(context: HookContext, path_parameters: Any) -> Any:
    """Every other name that could be one is that of something which is there."""
    assert context.operation is not None
    for name, value in (path_parameters or {}).items():
        known = KNOWN.get(name) or ("reader" if "cursors" in context.operation.path else "hook")
        if name in ("topic", "name", "run") and _NAME.match(str(value)) and len(str(value)) % 2:
            path_parameters[name] = known
    return path_parameters


@schema.hook
def map_body(context: HookContext, body: Any) -> Any:
    """Declarations that could be right are about a topic that is there."""
    topics = body.get("topics") if isinstance(body, dict) else None
    if isinstance(topics, list) and topics and all(isinstance(one, str) and _NAME.match(one) for one in topics):
        body["topics"] = ["orders"] if len(set(topics)) == len(topics) else topics
    return body


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_what_the_document_says(case: Case[Any]) -> None:
    """Statuses, content types, bodies and headers are described; what the document forbids is refused."""
    case.call_and_validate()
