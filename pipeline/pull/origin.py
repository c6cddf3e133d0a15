"""What a reader may name as the place to start from, parsed; pure.

``earliest`` (also nothing, the empty text and ``null``, as http-feeds asks), ``latest``, ``time:<RFC 3339>`` or a token
this service gave out.
"""

from __future__ import annotations

from pipeline.cursor import Cursor, CursorToken
from pipeline.errors import CursorMalformed, InputError
from pipeline.faces import At
from pipeline.moment import ms_from_rfc3339

Origin = At | CursorToken


def parse_origin(text: str | None, *, field: str = "from") -> Origin:
    """The start that ``text`` names; raises `CursorMalformed` for anything else."""
    if text in (None, "", "null", "earliest"):
        return "earliest"
    if text == "latest":
        return "latest"
    if text.startswith("time:"):
        try:
            return max(0, ms_from_rfc3339(text[5:], field=field))
        except InputError as error:
            raise CursorMalformed(field, text, f"time: followed by {error.expected}") from None
    if text.startswith("v1."):
        return Cursor.parse(text)
    raise CursorMalformed(
        field, text, "earliest, latest, time:<RFC 3339 time>, @<cursor name> or a token of this service"
    )
