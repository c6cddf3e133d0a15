"""What a named cursor is declared as, stored as and told as; values only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.cursor import Cursor
from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.names import check_topic_name
from pipeline.subscription import check_start


class PointerMissing(Conflict):
    """Committed offsets that must be there are not: they expired or a tool deleted them.

    An operator says where to go on.
    """

    code = "pointer-missing"


class CursorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One topic, and where the cursor starts: ``earliest``, ``latest``, an RFC 3339 time or a token."""

    topics: tuple[str, ...]
    start: str = "latest"

    def __post_init__(self) -> None:
        if len(self.topics) != 1:
            raise DeclarationInvalid("/topics", list(self.topics), "exactly one topic, because a token belongs to one")
        check_topic_name(self.topics[0], field="/topics/0")
        if self.topics[0].startswith("_"):
            raise DeclarationInvalid("/topics/0", self.topics[0], "a topic that is not internal")
        if not self.start.startswith("v1."):
            check_start(self.start)

    @property
    def topic(self) -> str:
        return self.topics[0]

    @property
    def origin(self) -> str:
        """``start`` as a reader is asked for it."""
        at_time = self.start not in ("earliest", "latest") and not self.start.startswith("v1.")
        return f"time:{self.start}" if at_time else self.start


class CursorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    Partitions below ``partitions`` were given a position; those added later start at their start.
    """

    spec: CursorSpec
    topic_id: str
    partitions: int
    created_at: str


class PartitionPosition(msgspec.Struct, frozen=True, kw_only=True):
    """``committed`` is the next offset, ``end`` the log's, ``lag`` what lies between."""

    partition: int
    committed: int
    end: int
    lag: int


class CursorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cursor stands.

    ``updated_at`` is None when a tool moved it last; ``version`` changes with the position.
    """

    name: str
    spec: CursorSpec
    cursor: str
    partitions: list[PartitionPosition]
    updated_at: str | None
    version: str


def cursor_spec_from(declared: Mapping[str, Any]) -> CursorSpec:
    """A checked `CursorSpec` from parsed JSON; raises `DeclarationInvalid` with a pointer."""
    for key in declared:
        if key not in CursorSpec.__struct_fields__:
            raise DeclarationInvalid(f"/{key}", "", f"one of {', '.join(CursorSpec.__struct_fields__)}")
    try:
        spec = msgspec.convert(dict(declared), CursorSpec)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, DeclarationInvalid):
            raise error.__cause__ from None
        text, _, path = str(error).partition(" - at ")
        raise DeclarationInvalid("/" + re.sub(r"[.\[\]]+", "/", path.strip("`$")).strip("/"), "", text) from None
    if spec.start.startswith("v1."):
        Cursor.parse(spec.start)
    return spec


def version_of(token: str) -> str:
    """Short text that changes whenever the position does."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]
