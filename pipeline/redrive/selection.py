"""Selections: which dead letters are meant, by filter or by id. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pipeline.deadletter import REASONS, DeadLetter
from pipeline.errors import DeclarationInvalid, InputError
from pipeline.filters import Facts, compile_filters
from pipeline.moment import ms_from_rfc3339
from pipeline.record import Record

FactsOf = Callable[[Record], Facts]
IDS_MAX = 4000
"""Ids in one selection: a request with more is refused as a whole."""
NAMED_MAX = 100


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dead letters that match all of what is given; empty means any.

    ``reasons``, ``statuses``, ``keys`` (texts) and ``types`` (CloudEvents): one of them. ``since`` (RFC 3339): failed
    last no earlier. ``filters``: as a subscription's. ``ids``: of the dead letter, of its event, or the webhook id that
    the receiver was shown.
    """

    reasons: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    since: str | None = None
    filters: tuple[dict[str, Any], ...] = ()
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, reason in enumerate(self.reasons):
            if reason not in REASONS:
                raise DeclarationInvalid(f"/select/reasons/{number}", reason, f"one of {', '.join(sorted(REASONS))}")
        for name, given in (("statuses", self.statuses), ("keys", self.keys), ("types", self.types)):
            if len(given) > NAMED_MAX:
                raise DeclarationInvalid(f"/select/{name}", f"{len(given)} of them", f"at most {NAMED_MAX}")
        if any(not 100 <= status <= 999 for status in self.statuses):
            raise DeclarationInvalid("/select/statuses", list(self.statuses), "statuses of three digits")
        if len(self.ids) > IDS_MAX:
            raise DeclarationInvalid("/select/ids", f"{len(self.ids)} ids", f"at most {IDS_MAX} at once")
        compile_filters(self.filters, field="/select/filters")
        since_ms(self)

    @property
    def is_open(self) -> bool:
        """Whether it means all of them."""
        return self == Selection()


class Chooser:
    """A selection made ready to be asked of many letters; ``facts_of`` is what filters learn of an event by,
    ``prefixes`` what webhook ids of each topic begin with.
    """

    def __init__(self, selection: Selection, facts_of: FactsOf, prefixes: Mapping[str, str]) -> None:
        self._facts_of, self._prefixes = facts_of, prefixes
        self._reasons, self._statuses = frozenset(selection.reasons), frozenset(selection.statuses)
        self._keys = frozenset(key.encode() for key in selection.keys)
        self._types, self._ids = frozenset(selection.types), frozenset(selection.ids)
        self._since_ms = since_ms(selection)
        self._filter = compile_filters(selection.filters) if selection.filters else None

    def takes(self, letter: DeadLetter) -> bool:
        return (
            (not self._reasons or letter.reason in self._reasons)
            and (not self._statuses or letter.http_status in self._statuses)
            and (not self._keys or letter.record.key in self._keys)
            and (not self._ids or self.names(letter))
            and (not self._types or type_of(letter.record, self._facts_of) in self._types)
            and (
                not self._since_ms
                or ms_from_rfc3339(letter.last_failed_at, field="dlq.last_failed_at") >= self._since_ms
            )
            and self._matches(letter.record)
        )

    def names(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant by name."""
        return bool(self._ids) and (
            letter.id in self._ids
            or webhook_id_of(letter, self._prefixes) in self._ids
            or attribute_of(letter.record, "id", self._facts_of) in self._ids
        )

    def _matches(self, record: Record) -> bool:
        """What the filter cannot judge it does not select: an operator who means it names it."""
        try:
            return self._filter is None or self._filter.holds(self._facts_of(record))
        except InputError:
            return False


def since_ms(selection: Selection) -> int:
    """Milliseconds since 1970; 0: any time."""
    if selection.since is None:
        return 0
    try:
        return ms_from_rfc3339(selection.since, field="/select/since")
    except InputError as error:
        raise DeclarationInvalid(error.field, error.value, error.expected) from None


def webhook_id_of(letter: DeadLetter, prefixes: Mapping[str, str]) -> str | None:
    """The id its event is delivered under; None where its topic is gone."""
    prefix = prefixes.get(letter.origin.topic)
    return None if prefix is None else f"{prefix}{letter.origin.partition}_{letter.origin.offset}"


def type_of(record: Record, facts_of: FactsOf) -> str | None:
    """The event's CloudEvents type; None where it cannot be read."""
    return attribute_of(record, "type", facts_of)


def attribute_of(record: Record, name: str, facts_of: FactsOf) -> str | None:
    """An attribute of the event, also one in structured mode; None where it cannot be read."""
    in_header = text_header(record, f"ce_{name}")
    try:
        return in_header if in_header is not None else facts_of(record).text(name)
    except InputError:
        return None


def text_header(record: Record, name: str) -> str | None:
    raw = record.header(name)
    return None if raw is None else raw.decode("utf-8", "replace")
