"""What a handler is given: one event as it came from the log, and which attempt this is."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

import msgspec

from pipeline.consume.outcomes import Reject
from pipeline.event import Event
from pipeline.format.headers import event_from_kafka
from pipeline.record import Position, Record

T = TypeVar("T")


class Incoming:
    """One event for one attempt, numbered from 1.

    ``delivery_id`` is the same on every attempt, after a crash, on replay and redrive: remember it to do a thing once.
    ``run_id`` names the replay or redrive this is part of, None when it comes live.
    """

    def __init__(
        self, record: Record, attempt: int, *, delivery_id: str, run_id: str | None, defaults: tuple[str, str]
    ) -> None:
        self.record, self.attempt, self.delivery_id, self.run_id = record, attempt, delivery_id, run_id
        self._defaults = defaults

    def __repr__(self) -> str:
        return f"<Incoming {self.position} attempt {self.attempt}>"

    @property
    def position(self) -> Position:
        """Where it lies: topic, partition, offset."""
        return self.record.position

    @property
    def key(self) -> bytes | None:
        """The record's key: events of one key come one after the other."""
        return self.record.key

    @cached_property
    def cloudevent(self) -> Event:
        """The CloudEvent; of a record that is none, what its topic and place give it.

        Raises `EventInvalid` or `FormatUnreadable` for a record that claims to be one and is not; raised out of a
        handler it is buried at once.
        """
        source, kind = self._defaults
        return event_from_kafka(self.record, default_source=source, default_type=kind, default_id=str(self.position))

    @property
    def id(self) -> str:
        """The CloudEvents id that its producer gave it, else its position."""
        return self.cloudevent.id

    @property
    def data(self) -> bytes | None:
        """The payload, out of its envelope where it came in one; None is a tombstone."""
        return self.cloudevent.data

    def data_json(self) -> Any:
        """The payload as JSON. Raises `Reject` when it is none: no attempt will change that."""
        return self.data_as(Any)

    def data_as(self, kind: type[T]) -> T:
        """The payload as JSON of this type: a msgspec Struct, a dataclass, a TypedDict. Raises `Reject`."""
        try:
            return msgspec.json.decode(self.data or b"", type=kind)
        except msgspec.MsgspecError as error:
            raise Reject(f"data: {error}") from None
