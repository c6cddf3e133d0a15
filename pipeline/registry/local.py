"""LocalRegistry: schemas in a compacted topic, so that every process on the same Kafka knows the same ids.

One row per schema. Rules that must stay true:

- The key is the id in decimal, the value ``{"subject": …, "schema": …}``. A key has one form for ever: compaction and
  compare-and-set both go by its bytes.
- Ids go up from 1 without a hole. The next id is taken by compare-and-set (the row must not exist), so of two writers
  one wins; the other looks again at everything, the compatibility check too, and tries the id after.
- Rows are never changed or deleted: events on the log refer to them as long as they are kept.
"""

from __future__ import annotations

import json

import msgspec

from pipeline.errors import Conflict, RegistryError, SchemaNotFound, VersionConflict
from pipeline.faces import Table
from pipeline.format.avro_codec import AvroCodec
from pipeline.format.compat import is_backward_compatible
from pipeline.registry.face import Registered

# Each lost race means that another process registered a schema in the meantime.
RACES_MAX = 20
PROBLEMS_SHOWN_MAX = 5


class _Row(msgspec.Struct, frozen=True):
    subject: str
    schema: str


class LocalRegistry:
    """``table`` is started and stopped by whoever made it. Everything but `register` is answered from memory."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._next_id = 1
        self._by_subject: dict[str, list[Registered]] = {}

    async def latest(self, subject: str) -> Registered:
        """See `Registry.latest`."""
        known = self._of(subject)
        if not known:
            raise SchemaNotFound(subject, f"register it, or put {subject}.avsc into schemas/")
        return known[-1]

    async def by_id(self, schema_id: int) -> str:
        """See `Registry.by_id`."""
        row = self._table.get(str(schema_id))
        if row is None:
            raise SchemaNotFound(f"id {schema_id}")
        return _decode(schema_id, row.value).schema

    async def register(self, subject: str, schema: str) -> Registered:
        """See `Registry.register`."""
        AvroCodec(schema)  # refuses what is no schema, and hostile ones
        for _ in range(RACES_MAX):
            known = self._of(subject)
            for registered in known:
                if json.loads(registered.schema) == json.loads(schema):
                    return registered
            if known:
                check_backward(subject, schema, known[-1].schema)
            schema_id = self._next_id
            try:
                await self._table.put(str(schema_id), msgspec.json.encode(_Row(subject, schema)), based_on=None)
            except VersionConflict:
                continue
            return Registered(id=schema_id, subject=subject, schema=schema)
        raise RegistryError(f"schema {subject} is not registered: {RACES_MAX} registrations by others came first")

    async def close(self) -> None:
        """Nothing to let go of: the table belongs to whoever made it."""

    def _of(self, subject: str) -> list[Registered]:
        """The subject's schemas, oldest first. Only rows that are new since the last call are read."""
        while (row := self._table.get(str(self._next_id))) is not None:
            try:
                found = _decode(self._next_id, row.value)
            except RegistryError:
                pass  # not written by us; the id is taken all the same, and `by_id` says what is wrong with it
            else:
                registered = Registered(id=self._next_id, subject=found.subject, schema=found.schema)
                self._by_subject.setdefault(found.subject, []).append(registered)
            self._next_id += 1
        return self._by_subject.get(subject, [])


def check_backward(subject: str, new: str, old: str) -> None:
    """Raise `Conflict` listing why data written with ``old`` could not be read with ``new``."""
    problems = is_backward_compatible(new, old)
    if problems:
        more = len(problems) - PROBLEMS_SHOWN_MAX
        shown = "; ".join(problems[:PROBLEMS_SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")
        raise Conflict(f"the new schema of {subject} cannot read what is written with its latest one: {shown}")


def _decode(schema_id: int, value: bytes) -> _Row:
    try:
        return msgspec.json.decode(value, type=_Row)
    except msgspec.DecodeError as error:
        raise RegistryError(f"the schema with id {schema_id} is unreadable in its topic: {error}") from None
