"""The judge: what must be true of what the receivers saw. Pure, so that it is itself tested."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.receiver import Received


class Place(NamedTuple):
    """Where an event lies, as its webhook id tells: ``evt_<topic>_<partition>_<offset>``."""

    topic: str
    partition: int
    offset: int


def place_of(webhook_id: str) -> Place:
    """Raises ValueError for an id that is none of ours."""
    kind, topic, partition, offset = webhook_id.split("_")
    if kind != "evt":
        raise ValueError(webhook_id)
    return Place(topic, int(partition), int(offset))


def order_violations(attempts: Sequence[Received]) -> list[str]:
    """Per key, in each partition: no attempt of an event before an earlier one of its key is through.

    So the offsets of a key's attempts never go down, and after a success they go up. Redriven deliveries are left out:
    they break log order by nature.
    """
    latest: dict[tuple[str, int, str | None], tuple[int, bool]] = {}
    wrong = []
    for one in attempts:
        if one.replay is not None:
            continue
        topic, partition, offset = place_of(one.id)
        key = (topic, partition, one.key)
        before, through = latest.get(key, (-1, True))
        if offset < before or (through and offset == before):
            wrong.append(f"key {one.key}: {one.event} ({offset}) after offset {before}")
        latest[key] = (offset, one.status == 204)
    return wrong


def tries(attempts: Iterable[Received]) -> Counter[str]:
    """How many requests each webhook id took."""
    return Counter(one.id for one in attempts)


def by_key(attempts: Iterable[Received]) -> dict[str | None, list[Received]]:
    """What was delivered for each key, in the order in which it came."""
    keys: dict[str | None, list[Received]] = defaultdict(list)
    for one in attempts:
        if one.status == 204:
            keys[one.key].append(one)
    return keys


class Verdicts:
    """The checks of the story as they are made; ``failed`` names those that did not hold."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.failed: list[str] = []

    def check(self, what: str, holds: object, found: object = "") -> bool:
        """Note whether ``what`` holds; ``found`` is what was seen instead."""
        if holds:
            self.held.append(what)
        else:
            self.failed.append(f"{what}: {found}" if found != "" else what)
        return bool(holds)
