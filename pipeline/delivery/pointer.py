"""A subscription's pointer as it is committed: the offset, and in the commit's metadata what is known above it.

Text: ``ep1.<epoch>.<owner>.<base>.<ack map>.<attempts>[.@<spilled at>][.n<partitions>].$`` — our prefix, the epoch and
name of the worker that wrote it, the offset it belongs to, the `AckMap`, the attempts of failing heads, where the rest
of both lies that does not fit (`pipeline.delivery.spill`), how many partitions of the topic have pointers, and a
terminator of our own: confluent-kafka 2.16.1 stores a NUL behind metadata and reads past the end of metadata that lacks
one, so what follows the terminator is ignored.

The committed offset alone is the truth; metadata counts only when its base equals that offset (stock tools reset
offsets with empty metadata).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pipeline.delivery.ackmap import AckMap, decode_ackmap, decode_varints, encode_varint
from pipeline.errors import DeclarationInvalid, FormatUnreadable

PREFIX = "ep1."
# Kafka's limit is 4,096 characters (offset.metadata.max.bytes); a NUL and a margin stay free.
CHARACTERS_MAX = 3800
_ATTEMPTS_CHARACTERS_MAX = 1200
# So many attempts, and beside them so many bytes of ranges, always fit.
_ATTEMPTS_FIT, _RANGES_BYTES_FIT = 20, 2000
_OWNER = r"[A-Za-z0-9_-]{1,100}"
_TEXT = re.compile(
    rf"ep1\.([0-9]{{1,18}})\.({_OWNER})\.([0-9]{{1,19}})\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]*)"
    r"(?:\.@([0-9]{1,18}))?(?:\.n([0-9]{1,9}))?\.\$"
)


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit says of one partition. ``attempts``: failing head's offset -> (attempts, first failed, unix
    seconds). ``spilled_at``: the offset of its spill, if there is one. ``partitions``: how many partitions of the topic
    are known to have pointers, 0: not told. Raises `DeclarationInvalid` for an owner that the text could not be read
    back with.
    """

    epoch: int
    owner: str
    offset: int
    finished: AckMap = msgspec.field(default_factory=AckMap)
    attempts: Mapping[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    spilled_at: int | None = None
    partitions: int = 0

    def __post_init__(self) -> None:
        if not re.fullmatch(_OWNER, self.owner):
            raise DeclarationInvalid("owner", self.owner, "1 to 100 ASCII letters, digits, - and _")

    def metadata(self) -> str:
        """At most `CHARACTERS_MAX` characters; what does not fit is left out, which costs second deliveries only."""
        attempts = _text_of(encode_attempts(self.attempts, self.offset, _ATTEMPTS_CHARACTERS_MAX * 3 // 4))
        head = f"{PREFIX}{self.epoch}.{self.owner}.{self.offset}."
        tail = "" if self.spilled_at is None else f".@{self.spilled_at}"
        tail += f".n{self.partitions}" if self.partitions else ""
        room = CHARACTERS_MAX - len(head) - len(attempts) - len(tail) - 3
        return f"{head}{self.finished.encode(self.offset, room)}.{attempts}{tail}.$"

    def fits(self) -> bool:
        """Whether `metadata` leaves nothing out."""
        ranges = self.finished.ranges
        # No distance and no length is longer than all of them together.
        longest = len(encode_varint(max(ranges[-1][1] - self.offset, 0))) if ranges else 0
        if len(ranges) * 2 * longest <= _RANGES_BYTES_FIT and len(self.attempts) <= _ATTEMPTS_FIT:
            return True
        read = read_pointer(self.offset, self.metadata())
        assert read is not None, "what was just written is read"
        return len(read.attempts) == len(self.attempts) and len(read.finished.ranges) == len(self.finished.ranges)


def encode_attempts(attempts: Mapping[int, tuple[int, int]], base: int, bytes_max: int) -> bytes:
    """Varints of distance (from ``base``, then from the one before), count and time; as many as fit, ascending."""
    body = bytearray()
    before = base
    for offset, (count, first_failed_at) in sorted(attempts.items()):
        if offset < base:
            continue
        piece = encode_varint(offset - before) + encode_varint(count) + encode_varint(max(first_failed_at, 0))
        if len(body) + len(piece) > bytes_max:
            break
        body += piece
        before = offset
    return bytes(body)


def attempts_of(numbers: Sequence[int], base: int) -> dict[int, tuple[int, int]]:
    """The attempts that were encoded; raises `FormatUnreadable`."""
    if len(numbers) % 3:
        raise FormatUnreadable("attempts", f"{len(numbers)} numbers", "triples of distance, count and time")
    return dict(_triples(numbers, base))


def _triples(numbers: Sequence[int], offset: int) -> Iterator[tuple[int, tuple[int, int]]]:
    for distance, count, first_failed_at in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        offset += distance
        yield offset, (count, first_failed_at)


def is_ours(metadata: str | None) -> bool:
    """Whether a worker of this product wrote it, whatever follows."""
    return metadata is not None and metadata.startswith(PREFIX)


def read_pointer(offset: int, metadata: str | None) -> Pointer | None:
    """The pointer committed at ``offset``, or None when the metadata is not ours or not readable as ours.

    Metadata of another base keeps its epoch and owner (they fence) and the count of partitions, but nothing else.
    """
    match = _TEXT.match(metadata or "")
    if match is None:
        return None
    epoch, owner, base, ackmap, attempts, spilled_at, partitions = match.groups()
    count = int(partitions or 0)
    if int(base) != offset:
        return Pointer(epoch=int(epoch), owner=owner, offset=offset, partitions=count)
    try:
        finished, counts = decode_ackmap(ackmap, offset), attempts_of(decode_varints(attempts), offset)
    except FormatUnreadable:
        finished, counts = AckMap(), {}
    return Pointer(
        epoch=int(epoch),
        owner=owner,
        offset=offset,
        finished=finished,
        attempts=counts,
        spilled_at=None if spilled_at is None else int(spilled_at),
        partitions=count,
    )


def _text_of(body: bytes) -> str:
    return urlsafe_b64encode(body).rstrip(b"=").decode()
