"""What a replay is asked for: where its window begins and ends, what of it is taken, and where it goes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from pipeline.cursor import Cursor, CursorToken
from pipeline.errors import DeclarationInvalid, InputError
from pipeline.filters import compile_filters
from pipeline.moment import ms_from_rfc3339
from pipeline.subscription import Endpoint, NoAuth, is_credential

IDS_MAX = 4000
"""Ids in one run: its row must stay below what a table takes (512 KiB)."""
OFFSET_MAX = 2**63 - 1
# ISO 8601 as Kafka's own tool takes it (PnDTnHnMnS), and what people type.
_ISO = re.compile(r"P(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?\Z", re.ASCII)
_SHORT = re.compile(r"(\d{1,9})([smhdw])\Z", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Offsets = int | dict[str, int]
"""One offset for every partition, or each named: ``{"orders/0": 5}``, or ``{"0": 5}`` where there is one topic."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a window as somebody said it; exactly what ``kind`` names is set."""

    kind: Literal["earliest", "latest", "time", "ago", "token", "offset", "offsets", "shift"]
    number: int = 0
    token: CursorToken | None = None
    offsets: dict[str, int] = {}


class ReplayAsked(msgspec.Struct, frozen=True, kw_only=True):
    """``start`` and ``until`` (exclusive): earliest, latest, an RFC 3339 time or a token; ``until`` latest is frozen
    when planned. Instead of ``start`` one of: ``from_offset``, ``from_duration`` (so long ago), ``shift`` (relative to
    what the subscription has committed), or ``ids``, which alone mean the whole log. ``ids`` are webhook ids or event
    ids; ``filters`` narrow the subscription's own. ``endpoint``: a shadow. ``allow_clamp``: what the log does not hold
    any more, or not yet, is left out instead of refused.
    """

    start: str | None = None
    from_offset: Offsets | None = None
    from_duration: str | None = None
    shift: int | None = None
    until: str = "latest"
    until_offset: Offsets | None = None
    ids: tuple[str, ...] = ()
    filters: tuple[dict[str, Any], ...] = ()
    endpoint: Endpoint | None = None
    rate_per_s: float | None = None
    allow_clamp: bool = False

    def __post_init__(self) -> None:
        check_rate(self.rate_per_s)
        compile_filters(self.filters)
        given = [
            name
            for name, value in (
                ("/from", self.start),
                ("/from_offset", self.from_offset),
                ("/from_duration", self.from_duration),
                ("/shift", self.shift),
            )
            if value is not None
        ]
        if len(given) > 1:
            raise DeclarationInvalid(given[1], "also given", f"only one beginning; {given[0]} is one already")
        if not given and not self.ids:
            raise DeclarationInvalid("/from", "absent", "a beginning: from, from_offset, from_duration, shift or ids")
        if len(self.ids) > IDS_MAX or any(not one for one in self.ids):
            raise DeclarationInvalid("/ids", f"{len(self.ids)} ids", f"at most {IDS_MAX} ids, none empty")
        if self.until_offset is not None and self.until != "latest":
            raise DeclarationInvalid("/until_offset", "also given", "only one end; /until is one already")
        if self.endpoint is not None:
            check_shadow(self.endpoint)
        self.begin()
        self.end()

    def begin(self) -> Bound:
        """Where it begins."""
        if self.from_offset is not None:
            return _offsets("/from_offset", self.from_offset)
        if self.from_duration is not None:
            return Bound(kind="ago", number=duration_ms(self.from_duration, "/from_duration"))
        if self.shift is not None:
            return Bound(kind="shift", number=self.shift)
        return _moment("/from", self.start or "earliest")

    def end(self) -> Bound:
        """Where it ends (exclusive)."""
        if self.until_offset is not None:
            return _offsets("/until_offset", self.until_offset)
        return _moment("/until", self.until)


def check_rate(rate_per_s: float | None) -> None:
    if rate_per_s is not None and not 0 < rate_per_s <= 1_000_000:
        raise DeclarationInvalid("/rate_per_s", rate_per_s, "more than 0 and at most 1000000, or absent")


def check_shadow(endpoint: Endpoint) -> None:
    """A shadow's row is kept unsealed, so it holds no secret; what is delivered is signed all the same."""
    if not isinstance(endpoint.auth, NoAuth) or endpoint.secret_headers:
        raise DeclarationInvalid("/endpoint/auth", "(hidden)", "a shadow without credentials; it verifies signatures")
    for name in endpoint.headers:
        if is_credential(name):
            raise DeclarationInvalid(
                f"/endpoint/headers/{name}", "(hidden)", "a shadow without credentials; it verifies signatures"
            )
    if endpoint.handshake:
        raise DeclarationInvalid("/endpoint/handshake", True, "false: a shadow is not asked for permission")


def duration_ms(text: str, field: str) -> int:
    """Milliseconds of ``PT2H30M`` (ISO 8601, days to seconds) or ``90m``; raises `DeclarationInvalid`."""
    if short := _SHORT.match(text):
        return int(short[1]) * _UNIT_S[short[2]] * 1000
    iso = _ISO.match(text)
    if iso is None or not any(iso.groups()):
        raise DeclarationInvalid(field, text, "a duration such as PT2H30M, P7D, 90m, 12h or 7d")
    days, hours, minutes, seconds = (int(part or 0) for part in iso.groups())
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000


def _moment(field: str, text: str) -> Bound:
    if text == "earliest":
        return Bound(kind="earliest")
    if text == "latest":
        return Bound(kind="latest")
    if text.startswith("v1."):
        return Bound(kind="token", token=Cursor.parse(text))
    try:
        return Bound(kind="time", number=max(0, ms_from_rfc3339(text, field=field)))
    except InputError as error:
        raise DeclarationInvalid(field, text, f"earliest, latest, a token, or {error.expected}") from None


def _offsets(field: str, given: Offsets) -> Bound:
    if isinstance(given, Mapping):
        if not given:
            raise DeclarationInvalid(field, "{}", 'a partition and its offset, such as {"orders/0": 5}')
        for place, offset in given.items():
            _check_offset(f"{field}/{place.replace('~', '~0').replace('/', '~1')}", offset)
        return Bound(kind="offsets", offsets=dict(given))
    return Bound(kind="offset", number=_check_offset(field, given))


def _check_offset(field: str, offset: int) -> int:
    if not 0 <= offset <= OFFSET_MAX:
        raise DeclarationInvalid(field, offset, "an offset: 0 to 2^63-1")
    return offset
