"""Rows of runs: their windows, what of them is picked, and what is left of one that ended early. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from pipeline.errors import Conflict, DeclarationInvalid, NotFound
from pipeline.faces import Partition
from pipeline.subscription import StoredRun, stored_run
from pipeline.subscription.spans import Spans, count, cut

Kind = Literal["replay", "redrive", "discard", "writeback"]
Window = Mapping[Partition, tuple[int, int]]


class RunNotFound(NotFound):
    noun = "run"


class RunUnreadable(Conflict):
    """A row of this subscription was written by a later release: what it took cannot be known here."""


class StampedRun(NamedTuple):
    """A run and the version of its row."""

    run: StoredRun
    version: int


def read_run(run_id: str, value: bytes, subscription: str) -> StoredRun | None:
    """The run in a row; None where it is another subscription's. Raises `RunUnreadable`."""
    try:
        run = stored_run(value)
    except (msgspec.MsgspecError, DeclarationInvalid) as error:
        if _is_of(value, subscription):
            raise RunUnreadable(f"run {run_id} of {subscription} cannot be read here: {error}") from None
        return None
    return run if run.subscription == subscription else None


def _is_of(value: bytes, subscription: str) -> bool:
    """Whether a row that is no run as known here says that it is of ``subscription``."""
    try:
        raw = msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return False
    return isinstance(raw, dict) and raw.get("subscription") == subscription


def in_rows(window: Window) -> dict[str, dict[int, tuple[int, int]]]:
    """``window`` as a row holds it; partitions without offsets in it are left out."""
    rows: dict[str, dict[int, tuple[int, int]]] = {}
    for (topic, partition), (first, until) in sorted(window.items()):
        if first < until:
            rows.setdefault(topic, {})[partition] = (first, until)
    return rows


def places_of(run: StoredRun) -> list[Partition]:
    """The partitions it reads."""
    return [(topic, partition) for topic, parts in run.window.items() for partition in parts]


def picked_in(run: StoredRun, place: Partition) -> Spans:
    """The offsets of ``place`` that it takes, as far as offsets decide."""
    topic, partition = place
    bounds = run.window.get(topic, {}).get(partition)
    if bounds is None:
        return ()
    if not run.picked:
        return (tuple(bounds),)  # type: ignore[return-value]  # two offsets
    return cut(run.picked.get(topic, {}).get(partition, ()), *bounds)


def total_of(run: StoredRun) -> int:
    """How many offsets it takes."""
    return sum(count(picked_in(run, place)) for place in places_of(run))


def cut_to(run: StoredRun, reached: Mapping[Partition, int]) -> StoredRun:
    """``run`` with its window cut to the offsets it has ``reached``; a partition not named was not begun."""
    window = {
        place: (first, min(until, reached[place]))
        for place in places_of(run)
        if place in reached
        for first, until in (run.window[place[0]][place[1]],)
    }
    rows = in_rows(window)
    kept = msgspec.structs.replace(run, window=rows, picked={})
    if not run.picked:
        return kept
    picked = {
        topic: {
            number: cut(run.picked.get(topic, {}).get(number, ()), first, until)
            for number, (first, until) in parts.items()
        }
        for topic, parts in rows.items()
    }
    return msgspec.structs.replace(kept, picked=picked)


def cancelled_at(run: StoredRun, reached: Mapping[Partition, int]) -> StoredRun:
    """``run`` cancelled, its window cut to the offsets it had ``reached``, so that windows tell what was run."""
    return msgspec.structs.replace(cut_to(run, reached), state="cancelled")
