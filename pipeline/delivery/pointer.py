"""A subscription's pointer as it is committed: the offset, and in the commit's metadata what is known above it.

Text: ``ep1.<epoch>.<owner>.<base>.<ack map>.<attempts>.$`` — our prefix, the epoch and name of the worker that wrote
it, the offset it belongs to, the `AckMap`, the attempts of failing heads, and a terminator of our own:
confluent-kafka 2.16.1 stores a NUL behind metadata and reads past the end of metadata that lacks one, so what follows
the terminator is ignored.

The committed offset alone is the truth; metadata counts only when its base equals that offset (stock tools reset
offsets with empty metadata).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping

import msgspec

from pipeline.delivery.ackmap import AckMap, decode_ackmap, decode_varints, encode_varint
from pipeline.errors import DeclarationInvalid, FormatUnreadable

PREFIX = "ep1."
# Kafka's limit is 4,096 characters (offset.metadata.max.bytes); a NUL and a margin stay free.
CHARACTERS_MAX = 3800
_ATTEMPTS_CHARACTERS_MAX = 1200
_OWNER = r"[A-Za-z0-9_-]{1,100}"
_TEXT = re.compile(rf"ep1\.([0-9]{{1,18}})\.({_OWNER})\.([0-9]{{1,19}})\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]*)\.\$")


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit says of one partition. ``attempts``: failing head's offset -> (attempts, first failed, unix
    seconds). Raises `DeclarationInvalid` for an owner that the text could not be read back with.
    """

    epoch: int
    owner: str
    offset: int
    finished: AckMap = msgspec.field(default_factory=AckMap)
    attempts: Mapping[int, tuple[int, int]] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(_OWNER, self.owner):
            raise DeclarationInvalid("owner", self.owner, "1 to 100 ASCII letters, digits, - and _")

    def metadata(self) -> str:
        """At most `CHARACTERS_MAX` characters; what does not fit is left out, which costs second deliveries only."""
        attempts = self._attempts_text()
        head = f"{PREFIX}{self.epoch}.{self.owner}.{self.offset}."
        room = CHARACTERS_MAX - len(head) - len(attempts) - 3
        return f"{head}{self.finished.encode(self.offset, room)}.{attempts}.$"

    def _attempts_text(self) -> str:
        body = bytearray()
        before = self.offset
        for offset, (count, first_failed_at) in sorted(self.attempts.items()):
            if offset < self.offset:
                continue
            piece = encode_varint(offset - before) + encode_varint(count) + encode_varint(max(first_failed_at, 0))
            if len(body) + len(piece) > _ATTEMPTS_CHARACTERS_MAX * 3 // 4:
                break
            body += piece
            before = offset
        return urlsafe_b64encode(bytes(body)).rstrip(b"=").decode()


def is_ours(metadata: str | None) -> bool:
    """Whether a worker of this product wrote it, whatever follows."""
    return metadata is not None and metadata.startswith(PREFIX)


def read_pointer(offset: int, metadata: str | None) -> Pointer | None:
    """The pointer committed at ``offset``, or None when the metadata is not ours or not readable as ours.

    Metadata of another base keeps its epoch and owner (they fence), but nothing else.
    """
    match = _TEXT.match(metadata or "")
    if match is None:
        return None
    epoch, owner, base, ackmap, attempts = match.groups()
    if int(base) != offset:
        return Pointer(epoch=int(epoch), owner=owner, offset=offset)
    try:
        finished, counts = decode_ackmap(ackmap, offset), _attempts(attempts, offset)
    except FormatUnreadable:
        finished, counts = AckMap(), {}
    return Pointer(epoch=int(epoch), owner=owner, offset=offset, finished=finished, attempts=counts)


def _attempts(text: str, base: int) -> dict[int, tuple[int, int]]:
    numbers = decode_varints(text)
    if len(numbers) % 3:
        raise FormatUnreadable("attempts", text, "triples of distance, count and time")
    out: dict[int, tuple[int, int]] = {}
    offset = base
    for distance, count, first_failed_at in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        offset += distance
        out[offset] = (count, first_failed_at)
    return out
