"""One attempt as it is written down: a line of JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Attempt(msgspec.Struct, omit_defaults=True, gc=False):
    """What became of one attempt. ``status`` is 0 when no status line came, ``at`` unix milliseconds when it ended.

    ``id`` is the webhook id; ``event`` the CloudEvents id of a record that is an event. ``run`` is there only
    for replays and redrives, ``error`` (one line) only for failures.
    """

    subscription: str
    topic: str
    partition: int
    offset: int
    id: str
    attempt: int
    status: int
    verdict: str
    ms: int
    at: int
    run: str | None = None
    error: str = ""
    event: str = ""


encode_attempts = msgspec.json.Encoder().encode_lines
_decode_line = msgspec.json.Decoder(Attempt).decode


def read_attempts(value: bytes | None) -> Iterator[Attempt]:
    """The attempts of one record, oldest first; lines that are none (an operator's hand) are left out."""
    for line in (value or b"").split(b"\n"):
        try:
            yield _decode_line(line)
        except msgspec.MsgspecError:
            continue
