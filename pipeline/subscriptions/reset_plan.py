"""What a reset is asked and planned as: where each partition's pointer would go, and what lies between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from pipeline.errors import Conflict, DeclarationInvalid, InputError
from pipeline.faces import CommittedOffset, Partition
from pipeline.moment import ms_from_rfc3339

SHIFT_MAX = 2**62


class ResetAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go: exactly one of ``to`` (earliest, latest, an RFC 3339 time), ``shift`` (so many offsets on, or back)
    and ``offsets`` (by topic and partition; the others stay). ``allow_clamp``: an offset the log does not reach becomes
    the nearest one it does, instead of an error.
    """

    to: str | None = None
    shift: int | None = None
    offsets: dict[str, dict[int, int]] | None = None
    dry_run: bool = True
    allow_clamp: bool = False

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.to, self.shift, self.offsets)) != 1:
            raise DeclarationInvalid("/to", self.to or "", "exactly one of to, shift and offsets")
        if self.to is not None:
            _check_to(self.to)
        if self.shift is not None and not -SHIFT_MAX <= self.shift <= SHIFT_MAX:
            raise DeclarationInvalid("/shift", self.shift, "a number of offsets")
        for topic, parts in (self.offsets or {}).items():
            for partition, offset in parts.items():
                if partition < 0 or not 0 <= offset < 2**63:
                    raise DeclarationInvalid(f"/offsets/{topic}/{partition}", offset, "an offset, 0 or more")


class ResetPart(msgspec.Struct, frozen=True, kw_only=True, rename={"before": "from"}):
    """One partition: from the committed offset (None: there is none) to another. ``count``: offsets between, negative
    when it goes back. The times are those of the first and the last record between, where there are any. ``clamped``
    says why ``to`` is not what was asked for.
    """

    topic: str
    partition: int
    before: int | None
    to: int
    count: int
    first_time_ms: int | None = None
    last_time_ms: int | None = None
    clamped: str | None = None


class ResetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a reset does, and the same in the words of Kafka's own tool."""

    subscription: str
    group: str
    parts: list[ResetPart]
    commands: list[str]


class ResetDone(msgspec.Struct, frozen=True, kw_only=True):
    """``taken_up``: a worker goes on from there already, or none delivers it now."""

    plan: ResetPlan
    taken_up: bool


class WouldClamp(Conflict):
    """The log does not reach what was asked for; ``problems`` names each place."""

    code = "would-clamp"

    def __init__(self, problems: list[DeclarationInvalid]) -> None:
        super().__init__("; ".join(str(one) for one in problems))
        self.problems = problems


class Bounds(NamedTuple):
    committed: Mapping[Partition, CommittedOffset]
    starts: Mapping[Partition, int]
    ends: Mapping[Partition, int]


def named(offsets: Mapping[str, Mapping[int, int]], places: list[Partition]) -> dict[Partition, int]:
    """``offsets`` by partition. Raises `DeclarationInvalid` for one that is none of ``places``."""
    wanted = {(topic, number): offset for topic, parts in offsets.items() for number, offset in parts.items()}
    for topic, number in wanted.keys() - set(places):
        raise DeclarationInvalid(f"/offsets/{topic}/{number}", f"{topic}/{number}", "a partition of its topics")
    if not wanted:
        raise DeclarationInvalid("/offsets", "{}", "at least one partition")
    return wanted


def part_of(place: Partition, wanted: int, bounds: Bounds) -> ResetPart:
    held = bounds.committed.get(place)
    before = None if held is None else held.offset
    start, end = bounds.starts[place], bounds.ends[place]
    to = min(max(wanted, start), end)
    clamped = None if to == wanted else f"{wanted} is not on the log, which holds {start} to {end}"
    base = start if before is None else before
    return ResetPart(topic=place[0], partition=place[1], before=before, to=to, count=to - base, clamped=clamped)


def between(part: ResetPart) -> tuple[int, int] | None:
    """The first and the last offset between where it is and where it goes."""
    base = part.to - part.count
    low, high = min(base, part.to), max(base, part.to)
    return (low, high - 1) if low < high else None


def fault_of(part: ResetPart) -> DeclarationInvalid:
    pointer = f"/offsets/{part.topic}/{part.partition}"
    return DeclarationInvalid(pointer, part.clamped or "", f"an offset the log holds, or allow_clamp for {part.to}")


def _check_to(to: str) -> None:
    if to not in ("earliest", "latest"):
        try:
            ms_from_rfc3339(to, field="/to")
        except InputError as error:
            raise DeclarationInvalid("/to", to, f"earliest, latest, or {error.expected}") from None
