"""Export: dead letters whole, one object after the other, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from pipeline.redrive.letters import PAGE_RECORDS, DeadLetters, Search
from pipeline.redrive.shown import letter_whole


async def exported(
    letters: DeadLetters, subscription: str, wanted: Search, start: str | None
) -> AsyncIterator[dict[str, Any]]:
    """Those found from ``start`` on, at most ``wanted.limit``, a page in memory at a time; what comes while it runs may
    be among them. At last ``{"next": …, "caught_up": …}``: without that line the export was cut off.
    """
    cursor, caught_up, left = start or "earliest", False, wanted.limit
    while left > 0 and not caught_up:
        some = msgspec.structs.replace(wanted, limit=min(left, PAGE_RECORDS))
        page = await letters.search(subscription, some, cursor)
        for filed in page.letters:
            yield letter_whole(filed)
        left -= len(page.letters)
        cursor, caught_up = page.next_cursor, page.caught_up
    yield {"next": cursor, "caught_up": caught_up}
