"""Dead letters: a record that could not be delivered, its bytes as they were, and why, in text headers.

Rules. Key, value and headers lie on the dead-letter topic byte for byte; ours are appended, all UTF-8 text, so that any
Kafka tool can read them. A producer's own ``dlq.*`` header would forge them, so it lies there as ``producer-dlq.*`` and
gets its name back when unwrapped. Where a dead letter came from is a statement, not an authority: nothing may choose
the topic it writes to by it. The new record gets a new timestamp from the broker; the original one is in a header,
because time retention would delete a late dead letter at once.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

import msgspec

from pipeline.errors import DeclarationInvalid, FormatUnreadable
from pipeline.record import Headers, Position, Record

Reason = Literal[
    "exhausted",
    "rejected_4xx",
    "gone_410",
    "blocked_address",
    "undecodable",
    "too_large",
    "schema_missing",
    "filter_error",
    "expired",
    "operator",
]
REASONS: frozenset[str] = frozenset(get_args(Reason))
ERROR_BYTES_MAX = 512

_OURS = "dlq."
_MOVED = "producer-"
_FORGED = re.compile(r"(?:producer-)*dlq\.")
_UNMOVED = re.compile(r"(?:producer-)+dlq\.")
# Anything that could end the line, move a terminal's cursor or hide text: controls, separators, direction marks.
_NOT_ONE_LINE = re.compile("[\x00-\x20\x7f-\xa0\u2028-\u202f\u2066-\u2069\ud800-\udfff]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)\Z", re.ASCII)
_NUMBER = re.compile(rb"-?\d{1,19}\Z")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record was buried. Times are RFC 3339; ``http_status`` is None when no status line came.

    ``error`` is made one line of at most 512 bytes; it must hold no secret and no reply body. Raises
    `DeclarationInvalid` for a reason that is not in `REASONS`, a negative count or a text that is no time.
    """

    reason: str
    attempts: int
    first_failed_at: str
    last_failed_at: str
    http_status: int | None = None
    error: str = ""

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise DeclarationInvalid("dlq.reason", self.reason, f"one of {', '.join(sorted(REASONS))}")
        if self.attempts < 0:
            raise DeclarationInvalid("dlq.attempts", self.attempts, "0 or more")
        for field in ("first_failed_at", "last_failed_at"):
            if not _TIME.match(getattr(self, field)):
                raise DeclarationInvalid(f"dlq.{field}", getattr(self, field), "an RFC 3339 time with a zone")
        if self.http_status is not None and not 100 <= self.http_status <= 999:
            raise DeclarationInvalid("dlq.http_status", self.http_status, "a status of three digits, or none")
        msgspec.structs.force_setattr(self, "error", one_line(self.error))


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed a dead letter's event, and from what: ``original`` is the place of the letter that was changed on
    its topic, ``sha256`` (hexadecimal) that letter's value. Raises `DeclarationInvalid` when ``by`` names nobody.
    """

    by: str
    original: str
    sha256: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.by) <= 100 or one_line(self.by) != self.by:
            raise DeclarationInvalid("dlq.edited_by", self.by, "1 to 100 characters on one line: who edits it")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter read back. ``record`` is the original: bytes, headers and the position it claims to be from; an
    ``edit`` says that its bytes are not those any more.
    """

    id: str
    group: str
    failure: Failure
    redrives: int
    record: Record
    edit: Edit | None = None

    @property
    def origin(self) -> Position:
        return self.record.position

    @property
    def reason(self) -> str:
        return self.failure.reason

    @property
    def attempts(self) -> int:
        return self.failure.attempts

    @property
    def first_failed_at(self) -> str:
        return self.failure.first_failed_at

    @property
    def last_failed_at(self) -> str:
        return self.failure.last_failed_at

    @property
    def http_status(self) -> int | None:
        return self.failure.http_status

    @property
    def error(self) -> str:
        return self.failure.error


def wrap(
    record: Record, group: str, failure: Failure, *, redrives: int = 0, edit: Edit | None = None
) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers to append for ``record``, which ``group`` could not deliver.

    ``record`` is the original one, also when a redrive failed again (``unwrap(…).record``): its id then stays the same,
    as does who edited it.
    """
    texts = {
        "id": f"{record.position}/{group}",
        "origin.topic": record.topic,
        "origin.partition": record.partition,
        "origin.offset": record.offset,
        "origin.timestamp": record.timestamp_ms,
        "group": group,
        "attempts": failure.attempts,
        "first_failed_at": failure.first_failed_at,
        "last_failed_at": failure.last_failed_at,
        "reason": failure.reason,
        "http_status": failure.http_status,
        "error": failure.error,
        "redrives": redrives,
        "edited_by": edit.by if edit else None,
        "edited_from": edit.original if edit else None,
        "edited_from_sha256": edit.sha256 if edit else None,
    }
    theirs = tuple((_MOVED + name if _FORGED.match(name) else name, value) for name, value in record.headers)
    ours = tuple((_OURS + name, str(text).encode()) for name, text in texts.items() if text is not None)
    return record.key, record.value, theirs + ours


def unwrap(record: Record) -> DeadLetter:
    """The dead letter that lies on a dead-letter topic as ``record``; `FormatUnreadable` names the header at fault."""
    found = {name: value for name, value in record.headers if name.startswith(_OURS)}
    status = _number(found, "http_status") if "dlq.http_status" in found else None
    try:
        failure = Failure(
            reason=_text(found, "reason"),
            attempts=_number(found, "attempts"),
            first_failed_at=_text(found, "first_failed_at"),
            last_failed_at=_text(found, "last_failed_at"),
            http_status=status,
            error=_text(found, "error"),
        )
        edit = _edit(found)
    except DeclarationInvalid as error:
        raise FormatUnreadable(error.field, error.value, error.expected) from None
    original = Record(
        topic=_text(found, "origin.topic"),
        partition=_number(found, "origin.partition"),
        offset=_number(found, "origin.offset"),
        timestamp_ms=_number(found, "origin.timestamp"),
        key=record.key,
        value=record.value,
        headers=tuple(_restored(name, value) for name, value in record.headers if not name.startswith(_OURS)),
    )
    return DeadLetter(
        id=_text(found, "id"),
        group=_text(found, "group"),
        failure=failure,
        redrives=_number(found, "redrives"),
        record=original,
        edit=edit,
    )


def one_line(text: str, bytes_max: int = ERROR_BYTES_MAX) -> str:
    """``text`` without line breaks, controls and direction marks, cut to ``bytes_max`` bytes of whole characters."""
    line = _NOT_ONE_LINE.sub(" ", text[: bytes_max * 4]).strip()
    raw = line.encode()
    if len(raw) <= bytes_max:
        return line
    return raw[: bytes_max - 3].decode(errors="ignore").rstrip() + "..."


def _edit(found: dict[str, bytes | None]) -> Edit | None:
    if "dlq.edited_by" not in found:
        return None
    return Edit(
        by=_text(found, "edited_by"),
        original=_text(found, "edited_from"),
        sha256=_text(found, "edited_from_sha256"),
    )


def _restored(name: str, value: bytes | None) -> tuple[str, bytes | None]:
    return (name.removeprefix(_MOVED) if _UNMOVED.match(name) else name), value


def _text(found: dict[str, bytes | None], name: str) -> str:
    value = found.get(_OURS + name)
    if value is None:
        raise FormatUnreadable(_OURS + name, "absent", "the header of a dead letter")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise FormatUnreadable(_OURS + name, value, "UTF-8 text") from None


def _number(found: dict[str, bytes | None], name: str) -> int:
    value = found.get(_OURS + name)
    if value is None:
        raise FormatUnreadable(_OURS + name, "absent", "the header of a dead letter")
    if not _NUMBER.match(value):
        raise FormatUnreadable(_OURS + name, value, "a whole number as text")
    return int(value)
