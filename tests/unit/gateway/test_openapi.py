"""The OpenAPI document says what the routes do: every path, method, parameter, limit and code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from jsonschema_rs import meta
from starlette.routing import Route

from pipeline.gateway import build_app
from pipeline.gateway.cursors import CommitBody
from pipeline.gateway.dead_letters import DiscardBody, EditBody
from pipeline.gateway.openapi import document
from pipeline.gateway.problems import MEANINGS
from pipeline.gateway.runs import RedriveBody, ReplayBody
from pipeline.pull import CursorSpec, ReaderSettings
from pipeline.redrive import Selection
from pipeline.subscription import Batch, Endpoint, RetryPolicy, Signing, Subscription
from pipeline.subscriptions import ResetAsked
from tests.fakes.house import GatewayHouse

DOCUMENT: dict[str, Any] = json.loads(document())
SCHEMAS = DOCUMENT["components"]["schemas"]


def test_every_route_is_described_and_nothing_else() -> None:
    app = build_app(GatewayHouse().parts)
    routes = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = {
        (path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
    }
    assert routes == described


def test_every_parameter_of_a_path_is_described() -> None:
    for path, item in DOCUMENT["paths"].items():
        named = {resolved(parameter)["name"] for parameter in item.get("parameters", ())}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path


def test_every_operation_tells_of_its_problems_and_has_a_name_of_its_own() -> None:
    operations = [item[method] for item in DOCUMENT["paths"].values() for method in item if method != "parameters"]
    assert all(operation["responses"]["default"]["$ref"].endswith("/Problem") for operation in operations)
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        assert resolved({"$ref": reference})


def test_schemas_are_schemas() -> None:
    for name, schema in SCHEMAS.items():
        assert meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name


def test_the_codes_are_those_of_the_table() -> None:
    assert SCHEMAS["Problem"]["properties"]["code"]["enum"] == sorted(MEANINGS)


def test_bodies_have_the_members_of_their_values() -> None:
    declared = SCHEMAS["SubscriptionDeclaration"]["properties"]
    pairs: list[tuple[dict[str, Any], type[msgspec.Struct]]] = [
        (declared, Subscription),
        (SCHEMAS["Endpoint"]["properties"], Endpoint),
        (declared["signing"]["properties"], Signing),
        (declared["retry"]["properties"], RetryPolicy),
        (declared["batch"]["properties"], Batch),
        (SCHEMAS["CursorDeclaration"]["properties"], CursorSpec),
        (SCHEMAS["Commit"]["properties"], CommitBody),
        (SCHEMAS["ReplayAsked"]["properties"], ReplayBody),
        (SCHEMAS["RedriveAsked"]["properties"], RedriveBody),
        (SCHEMAS["LetterSelection"]["properties"], Selection),
        (SCHEMAS["DiscardAsked"]["properties"], DiscardBody),
        (SCHEMAS["EditAsked"]["properties"], EditBody),
        (SCHEMAS["ResetAsked"]["properties"], ResetAsked),
    ]
    for described, value in pairs:
        assert set(described) == {field.encode_name for field in msgspec.structs.fields(value)}, value


def test_limits_are_those_of_the_reader() -> None:
    parameters = DOCUMENT["components"]["parameters"]
    assert parameters["pollLimit"]["schema"]["maximum"] == ReaderSettings().limit_max
    assert f"{ReaderSettings().wait_s_max * 1000:.0f}" in parameters["timeout"]["description"]


async def test_it_is_served() -> None:
    answer = await GatewayHouse().call("GET", "/v1/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["openapi"] == "3.1.0" and answer.json()["info"]["version"]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)
