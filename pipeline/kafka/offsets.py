"""GroupOffsets: the committed offsets of groups without members, read and written as their coordinators keep them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias, TypeVar

from confluent_kafka import KafkaError

from pipeline.errors import BrokerUnavailable, FormatUnreadable, InputError, PayloadTooLarge, PipelineError
from pipeline.kafka.client import KafkaSettings, translated
from pipeline.kafka.wire import requests
from pipeline.kafka.wire.coordinators import CoordinatorAway, Coordinators
from pipeline.kafka.wire.requests import Request
from pipeline.kafka.wire.security import LoginRefused

Partition: TypeAlias = tuple[str, int]
Offsets: TypeAlias = Mapping[Partition, tuple[int, str | None]]
T = TypeVar("T")

METADATA_CHARACTERS_MAX = 4000
"""Brokers take 4,096 (``offset.metadata.max.bytes``, counted in characters)."""
ASKING_MAX = 64
TRY_S = 3.0
TRIES_MIN = 3
PAUSE_S = 0.05
PAUSE_MAX_S = 0.5
_MOVING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)


class Committed(NamedTuple):
    """A committed offset, and the text that was committed with it (None and empty are the same to Kafka)."""

    offset: int
    metadata: str | None


class Refused(NamedTuple):
    """The first error of an answer, and where (``topic`` "": the whole group)."""

    code: int
    topic: str = ""
    partition: int = 0


class GroupOffsets:
    """Reads and commits for any number of groups, at most `ASKING_MAX` requests at a time.

    While a coordinator moves, loads or does not answer it is looked up and asked again, for ``request_timeout_s`` in
    all; to do so twice does no harm.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._timeout_s = settings.request_timeout_s
        self._try_s = min(TRY_S, self._timeout_s / TRIES_MIN)
        self._coordinators = Coordinators(settings, "offsets")
        self._turns = asyncio.Semaphore(ASKING_MAX)

    async def read(self, group: str, partitions: Iterable[Partition]) -> dict[Partition, Committed]:
        """Committed offsets of these partitions; those without a commit are absent.

        Raises `BrokerUnavailable`, `LogError` (not allowed). Topics that do not exist have no commits.
        """
        wanted = list(partitions)
        if not wanted:
            return {}
        request = requests.offset_fetch(group, wanted)
        return await self._asked(group, request, _fetched, f"read the offsets of group {group}")

    async def commit(self, group: str, offsets: Offsets) -> None:
        """Set these offsets and their metadata, others stay. All or an error; an error may leave some of them set.

        Raises `GroupActive` when the group has members, `TopicNotFound`, `BrokerUnavailable`, `LogError`.
        """
        if not offsets:
            return
        for offset, metadata in offsets.values():
            _check(offset, metadata)
        request = requests.offset_commit(group, offsets)
        await self._asked(group, request, _committed, f"commit to group {group}")

    async def commit_many(self, groups: Mapping[str, Offsets]) -> dict[str, PipelineError | None]:
        """`commit` for each group, side by side; what became of each: None, or the error."""
        outcomes = await asyncio.gather(
            *(self.commit(group, offsets) for group, offsets in groups.items()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, PipelineError):
                raise outcome
        return dict(zip(groups, outcomes, strict=True))  # type: ignore[arg-type]  # the others were raised above

    def close(self) -> None:
        """Hang up; requests under way fail."""
        self._coordinators.close()

    async def _asked(self, group: str, request: Request, read: Callable[[bytes], T | Refused], doing: str) -> T:
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire()
        except TimeoutError:
            raise BrokerUnavailable(f"{doing}: no turn in {self._timeout_s:g} s ({ASKING_MAX} are asking)") from None
        try:
            return await self._answered(group, request, read, doing, deadline)
        finally:
            self._turns.release()

    async def _answered(
        self, group: str, request: Request, read: Callable[[bytes], T | Refused], doing: str, deadline: float
    ) -> T:
        loop, pause_s = asyncio.get_running_loop(), PAUSE_S
        while True:
            answer = await self._tried(group, request, read, min(self._try_s, deadline - loop.time()))
            if not isinstance(answer, (Refused, Exception)):
                return answer
            moving = isinstance(answer, Exception) or answer.code in _MOVING
            if not moving or loop.time() + 2 * pause_s > deadline:
                raise _named(answer, doing)
            self._coordinators.forget(group)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _tried(
        self, group: str, request: Request, read: Callable[[bytes], T | Refused], within_s: float
    ) -> T | Refused | OSError:
        """The answer, or what hindered it."""
        try:
            async with asyncio.timeout(within_s):
                connection = await self._coordinators.of(group)
                return read(await connection.ask(request))
        except TimeoutError:
            self._coordinators.hang_up(group)
            return TimeoutError(f"no answer in {self._timeout_s:g} s")
        except CoordinatorAway as away:
            return Refused(away.code)
        except FormatUnreadable as error:
            self._coordinators.hang_up(group)
            return ConnectionError(f"the broker's answer cannot be read: {error}")
        except OSError as error:
            return error
        except LoginRefused as error:
            raise BrokerUnavailable(f"log in to the brokers: {error}") from None


def _fetched(raw: bytes) -> dict[Partition, Committed] | Refused:
    error, found = requests.fetched_offsets(raw)
    if error:
        return Refused(error)
    for (topic, partition), fetched in found.items():
        if fetched.error and fetched.error != KafkaError.UNKNOWN_TOPIC_OR_PART:
            return Refused(fetched.error, topic, partition)
    # A NUL at the end was put there by confluent-kafka (2.16.1), whoever of its users committed this.
    return {
        place: Committed(fetched.offset, (fetched.metadata or "").removesuffix("\0") or None)
        for place, fetched in found.items()
        if fetched.offset >= 0
    }


def _committed(raw: bytes) -> Refused | None:
    for (topic, partition), error in requests.committed_offsets(raw).items():
        if error:
            return Refused(error, topic, partition)
    return None


def _named(answer: Refused | Exception, doing: str) -> PipelineError:
    if isinstance(answer, Exception):
        return BrokerUnavailable(f"{doing}: {answer}")
    where = f", {answer.topic}/{answer.partition}" if answer.topic else ""
    return translated(KafkaError(answer.code), doing + where, topic=answer.topic)


def _check(offset: int, metadata: str | None) -> None:
    if offset < 0:
        raise InputError("offset", offset, "0 or more")
    if metadata is None:
        return
    if len(metadata) > METADATA_CHARACTERS_MAX:
        expected = f"at most {METADATA_CHARACTERS_MAX} characters"
        raise PayloadTooLarge("metadata", f"{len(metadata)} characters", expected)
    if "\0" in metadata:
        raise InputError("metadata", metadata, "text without NUL")
