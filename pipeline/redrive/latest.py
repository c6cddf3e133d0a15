"""Latest for their key: dead letters that no newer event of their key has overtaken on the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.cursor import Cursor
from pipeline.errors import Conflict, NotFound
from pipeline.record import Position
from pipeline.redrive.fates import FiledLetter
from pipeline.redrive.paging import Paging, RecordSource

PAGE_RECORDS = 1000
SCANNED_MAX = 1_000_000
"""Events looked at behind the oldest letter; a redrive that needs more is refused rather than half checked."""


async def latest_for_key(chosen: Sequence[FiledLetter], source: RecordSource) -> list[FiledLetter]:
    """Those of ``chosen`` whose key has no later event on the topic they are from; letters without a key are all such.

    Raises `Conflict` when more than `SCANNED_MAX` events lie behind the oldest.
    """
    last: dict[tuple[str, int, bytes], int] = {}
    for topic in sorted({filed.letter.origin.topic for filed in chosen}):
        own = [filed for filed in chosen if filed.letter.origin.topic == topic and filed.letter.record.key is not None]
        if own:
            last |= await _last_offsets(topic, own, source)
    return [filed for filed in chosen if _is_latest(filed, last)]


def _is_latest(filed: FiledLetter, last: Mapping[tuple[str, int, bytes], int]) -> bool:
    topic, partition, offset = filed.letter.origin
    key = filed.letter.record.key
    return key is None or last.get((topic, partition, key), offset) <= offset


async def _last_offsets(
    topic: str, own: Sequence[FiledLetter], source: RecordSource
) -> dict[tuple[str, int, bytes], int]:
    """The last offset of every key of ``own`` from the first of them on."""
    origins: list[tuple[Position, bytes]] = [(filed.letter.origin, filed.letter.record.key or b"") for filed in own]
    found = {(topic, origin.partition, key): origin.offset for origin, key in origins}
    try:
        paging = await Paging.open(source, topic)
    except NotFound:
        return found
    starts = dict(paging.ends)
    for origin, _ in origins:
        if origin.partition in starts:
            starts[origin.partition] = min(starts[origin.partition], origin.offset)
    cursor, left, caught_up = Cursor(paging.facts.topic_id, starts).token(), SCANNED_MAX, False
    while not caught_up:
        page = await paging.take(cursor, PAGE_RECORDS)
        for record in page.records:
            name = (topic, record.partition, record.key or b"")
            if record.key is not None and name in found:
                found[name] = max(found[name], record.offset)
        cursor, caught_up = page.next_cursor, page.caught_up
        left -= max(1, len(page.records))
        if left <= 0 and not caught_up:
            raise Conflict(f"more than {SCANNED_MAX} events of {topic} lie behind the oldest letter; select fewer")
    return found
