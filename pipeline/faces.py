"""What the floors above ask of the log: few verbs each, met by ``pipeline.kafka`` and by the fakes of the tests.

Values are described by what is read of them, so that the named tuples of ``pipeline.kafka`` fit as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from pipeline.record import Record

Partition = tuple[str, int]
At = Literal["earliest", "latest"] | int
"""Where in time: the log start, the log end, or milliseconds since 1970 (the first record not older)."""


class TopicFacts(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def topic_id(self) -> str: ...
    @property
    def partitions(self) -> int: ...


class CommittedOffset(Protocol):
    @property
    def offset(self) -> int: ...
    @property
    def metadata(self) -> str | None: ...


class StoredRow(Protocol):
    """``version`` is what a later write must be based on."""

    @property
    def value(self) -> bytes: ...
    @property
    def version(self) -> int: ...


class Missing(Protocol):
    """Offsets ``first`` to ``until`` (exclusive) were gone before they were read."""

    @property
    def first(self) -> int: ...
    @property
    def until(self) -> int: ...


class Taken(Protocol):
    """Records and the offset after them, which also passes control records and what compaction took."""

    @property
    def records(self) -> Sequence[Record]: ...
    @property
    def next_offset(self) -> int: ...
    @property
    def gap(self) -> Missing | None: ...


class OpenFeed(Protocol):
    @property
    def position(self) -> int: ...
    def take(self, records_max: int, /) -> Taken | None: ...
    def end(self) -> int | None: ...
    def close(self) -> None: ...


class Log(Protocol):
    """Reads partitions; ``on_ready`` runs on the loop once after ``take`` returned None and has something again."""

    def feed(self, topic: str, partition: int, offset: int, on_ready: Callable[[], None], /) -> OpenFeed: ...
    async def fetch(self, topic: str, partition: int, offset: int, /) -> Record | None: ...


class Catalogue(Protocol):
    async def get(self, topic: str, /) -> TopicFacts: ...


class TopicAdmin(Protocol):
    async def topics(self) -> list[str]: ...
    async def describe(self, names: list[str], /) -> Mapping[str, TopicFacts]: ...
    async def topic_config(self, name: str, /) -> Mapping[str, str]: ...
    async def offsets(self, partitions: list[Partition], at: At, /) -> Mapping[Partition, int]: ...


class Pointers(Protocol):
    """Committed offsets of consumer groups; partitions without a commit are absent from what `read` returns."""

    async def read(self, group: str, partitions: list[Partition], /) -> Mapping[Partition, CommittedOffset]: ...
    async def commit(self, group: str, offsets: Mapping[Partition, tuple[int, str | None]], /) -> None: ...


What = Literal[
    "created", "changed", "paused", "resumed", "deleted", "gone", "blocked", "probing", "recovered", "dead-lettered",
    "gap", "secret-rotated", "pointer-moved", "pointer-missing", "fenced", "headroom-low", "run-started", "run-paused",
    "run-resumed", "run-done", "run-cancelled", "released",
]  # fmt: skip
"""What can happen to a subscription that operators should hear of."""


class Tells(Protocol):
    """Operational events: ``what`` happened to the subscription ``name``. Nothing waits and nothing fails."""

    def tell(self, what: What, name: str, /, **facts: object) -> None: ...


class Notes(Protocol):
    """The audit: who did what to what. ``before`` and ``after`` are what changed, without secrets."""

    def tell(self, what: str, name: str, /, **facts: object) -> None: ...


class Silent:
    """Tells nobody."""

    def tell(self, what: str, name: str, /, **facts: object) -> None: ...


class Table(Protocol):
    """A compacted topic as a table: a write names the version it is based on, None for a key that must not exist."""

    def get(self, key: str, /) -> StoredRow | None: ...
    def rows(self) -> Mapping[str, StoredRow]: ...
    async def put(self, key: str, value: bytes | None, /, *, based_on: int | None) -> StoredRow: ...


class WatchedTable(Table, Protocol):
    """A table that tells of its changes."""

    def watch(self, callback: Callable[[str, StoredRow | None], None], /) -> Callable[[], None]:
        """Called on the loop after a row changed (None: it went); returns what ends that."""
        ...
