"""What every schema registry promises, asked of each one we have."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from pipeline.errors import Conflict, InputError, SchemaNotFound
from pipeline.guard import Guard
from pipeline.registry import LocalRegistry, Registry
from pipeline.registry.remote import RemoteRegistry, RemoteSettings
from pipeline.webhook.outbound import Outbound
from tests.fakes.table import FakeTable
from tests.unit.registry.confluent_server import ConfluentServer


def schema(*fields: str, default: str | None = None) -> str:
    """A record of text fields; those after the first have ``default`` if it is given."""
    described = [{"name": name, "type": "string"} for name in fields]
    if default is not None:
        for field in described[1:]:
            field["default"] = default
    return json.dumps({"type": "record", "name": "Order", "fields": described})


@pytest.fixture(params=["local", "remote"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    if request.param == "local":
        yield LocalRegistry(FakeTable())
        return
    async with ConfluentServer().running() as server:
        remote = RemoteRegistry(RemoteSettings(url=server.url), Outbound(Guard.for_operators()))
        yield remote
        await remote.close()


async def test_a_registered_schema_is_the_latest_of_its_subject_and_found_by_its_id(registry: Registry) -> None:
    made = await registry.register("order", schema("id"))
    assert (made.subject, made.schema) == ("order", schema("id"))
    assert await registry.latest("order") == made
    assert await registry.by_id(made.id) == schema("id")


async def test_ids_go_up_and_old_ones_stay_readable(registry: Registry) -> None:
    first = await registry.register("order", schema("id"))
    second = await registry.register("order", schema("id", "note", default=""))
    other = await registry.register("payment", schema("id"))
    assert first.id < second.id < other.id
    assert await registry.latest("order") == second
    assert await registry.by_id(first.id) == schema("id")
    assert (await registry.latest("payment")).id == other.id


async def test_registering_a_schema_again_gives_the_one_that_is_there(registry: Registry) -> None:
    first = await registry.register("order", schema("id"))
    spaced = json.dumps(json.loads(schema("id")), indent=2)
    assert (await registry.register("order", schema("id"))).id == first.id
    assert (await registry.register("order", spaced)).id == first.id


async def test_an_old_schema_given_again_does_not_become_the_latest(registry: Registry) -> None:
    first = await registry.register("order", schema("id"))
    second = await registry.register("order", schema("id", "note", default=""))
    assert (await registry.register("order", schema("id"))).id == first.id
    assert await registry.latest("order") == second


async def test_a_schema_that_cannot_read_the_latest_one_is_refused_with_the_field(registry: Registry) -> None:
    first = await registry.register("order", schema("id"))
    with pytest.raises(Conflict, match="total"):
        await registry.register("order", schema("id", "total"))
    assert await registry.latest("order") == first


async def test_compatible_means_with_the_latest_schema(registry: Registry) -> None:
    await registry.register("order", schema("id"))
    counted = json.loads(schema("id"))
    counted["fields"].append({"name": "note", "type": "int", "default": 0})
    await registry.register("order", json.dumps(counted))
    with pytest.raises(Conflict, match="string not compatible with writer type: int"):
        await registry.register("order", schema("id", "note", default=""))


@pytest.mark.parametrize("text", ['{"type": "recrd"}', "{", '{"type": "record", "fields": []}'])
async def test_what_is_no_schema_is_refused(registry: Registry, text: str) -> None:
    with pytest.raises(InputError):
        await registry.register("order", text)
    with pytest.raises(SchemaNotFound):
        await registry.latest("order")


async def test_an_unknown_subject_is_not_found(registry: Registry) -> None:
    with pytest.raises(SchemaNotFound, match="nothing"):
        await registry.latest("nothing")


async def test_an_unknown_id_is_not_found(registry: Registry) -> None:
    with pytest.raises(SchemaNotFound, match="77"):
        await registry.by_id(77)


async def test_a_subject_may_have_any_name(registry: Registry) -> None:
    made = await registry.register("shop/order 1%?#ü", schema("id"))
    assert await registry.latest("shop/order 1%?#ü") == made
