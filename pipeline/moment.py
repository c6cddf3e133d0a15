"""RFC 3339 texts and milliseconds since 1970, both ways; no clock is read here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pipeline.errors import InputError

# RFC 3339 §5.6 with the zone required: a time without one means something else on every machine.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms_from_rfc3339(text: str, *, field: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 timestamp; fractions are rounded down.

    Raises `InputError` naming ``field``.
    """
    match = _RFC3339.match(text)
    if match is None:
        raise InputError(field, text, "an RFC 3339 time with a zone, such as 2026-11-20T22:00:00Z")
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError as error:
        raise InputError(field, text, f"a time that exists ({error})") from None
    milliseconds = int((fraction or ".0")[1:4].ljust(3, "0"))
    return int((moment - _EPOCH) / timedelta(milliseconds=1)) + milliseconds


def rfc3339_from_ms(at_ms: int) -> str:
    """The moment in UTC with milliseconds, such as ``2026-11-20T22:00:00.000Z``."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
