"""Facts of a record: what filters look at, worked out when first asked for and once per record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.event import Event
from pipeline.filters import NOTHING, Key, parse_data, text_at
from pipeline.format.headers import CONTENT_TYPE, event_from_kafka
from pipeline.format.media import mode_of
from pipeline.record import Record

Defaults = Callable[[str], tuple[str, str]]
_UNREAD: Any = object()


class RecordFacts:
    """Attributes need the event read (9 µs), data JSON parsed; headers neither. ``defaults``: the CloudEvents source
    and type of records of a topic that carry none.
    """

    __slots__ = ("_attributes", "_data", "_defaults", "_record")

    def __init__(self, record: Record, defaults: Defaults) -> None:
        self._record, self._defaults = record, defaults
        self._attributes: Mapping[str, str] | None = None
        self._data: Any = _UNREAD

    def text(self, key: Key) -> str | None:
        """As `pipeline.filters.Facts` says. Data in Avro is no JSON: it has no values."""
        if isinstance(key, tuple):
            return text_at(self.data, key)
        if key[1:2] == ".":
            return _header_text(self._record.header(key[2:]))
        return self.attributes.get(key)

    @property
    def attributes(self) -> Mapping[str, str]:
        """Raises `InputError` where the record claims to be a CloudEvent and is none."""
        if self._attributes is None:
            self._attributes = attributes_of(self._record, *self._defaults(self._record.topic))
        return self._attributes

    @property
    def data(self) -> Any:
        """The JSON value of the event's data, as `parse_data` gives it. Raises as ``attributes`` does, for a record in
        structured mode only.
        """
        if self._data is _UNREAD:
            record = self._record
            stated = record.header(CONTENT_TYPE)
            if stated is not None and mode_of(stated.decode("latin-1")) != "binary":
                self._data = parse_data(_event_of(record, *self._defaults(record.topic)).data)
            else:
                self._data = NOTHING if record.value is None else parse_data(record.value)
        return self._data


def attributes_of(record: Record, default_source: str, default_type: str) -> Mapping[str, str]:
    """The CloudEvents attributes filters see; a record that is no CloudEvent has those its topic and place give it."""
    event = _event_of(record, default_source, default_type)
    out = {"id": event.id, "source": event.source, "type": event.type}
    for name in ("subject", "time", "datacontenttype", "dataschema"):
        value = getattr(event, name)
        if value is not None:
            out[name] = value
    out.update((name, value if isinstance(value, str) else str(value)) for name, value in event.extensions.items())
    return out


def _event_of(record: Record, default_source: str, default_type: str) -> Event:
    return event_from_kafka(
        record, default_source=default_source, default_type=default_type, default_id=str(record.position)
    )


def _header_text(value: bytes | None) -> str | None:
    """Bytes that are no UTF-8 match nothing."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
