"""What a schema registry does for us. Schemas are Avro, as text; ids are those of the Confluent wire frame."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A schema under its subject; ``id`` is for ever and goes into the frame of each value."""

    id: int
    subject: str
    schema: str


class Registry(Protocol):
    """All verbs raise `RegistryError` when the registry cannot be asked; the same call may succeed later."""

    async def latest(self, subject: str) -> Registered:
        """The schema that new events of this subject must fit. Raises `SchemaNotFound`."""

    async def by_id(self, schema_id: int) -> str:
        """The schema text with this id. Raises `SchemaNotFound`."""

    async def register(self, subject: str, schema: str) -> Registered:
        """The schema under this subject; the one that is there already if it is the same.

        Raises `Conflict` when data written with the subject's latest schema could not be read with this one
        (BACKWARD), and `InputError` when it is no Avro schema. Nothing is changed then.
        """

    async def close(self) -> None:
        """Let go of connections. Asking afterwards is an error of the caller."""
