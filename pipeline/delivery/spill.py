"""What of a pointer does not fit a commit's metadata: the whole ack map and all attempts, as one record beside it.

The commit names the record that was acknowledged before it. A spill counts only for a commit of the same epoch at its
base or above: what was finished then is finished now, so an older spill of the same owner only knows less. Bytes:
varints of epoch, base, the number of the map's numbers, the map, the attempts. Cut at `BYTES_MAX`: that costs second
deliveries, never a loss.
"""

from __future__ import annotations

import msgspec

from pipeline.delivery.ackmap import ackmap_of, decode_varint_bytes, encode_varint
from pipeline.delivery.pointer import Pointer, attempts_of, encode_attempts
from pipeline.errors import FormatUnreadable

BYTES_MAX = 512 * 1024
_ATTEMPTS_BYTES_MAX = BYTES_MAX // 4
_HEAD_BYTES_MAX = 30


def spill_of(pointer: Pointer) -> bytes:
    """At most `BYTES_MAX` bytes."""
    attempts = encode_attempts(pointer.attempts, pointer.offset, _ATTEMPTS_BYTES_MAX)
    room = BYTES_MAX - _HEAD_BYTES_MAX - len(attempts)
    ackmap = pointer.finished.encode_bytes(pointer.offset, room)
    numbers = sum(byte < 0x80 for byte in ackmap)  # each varint ends in one such byte
    head = encode_varint(pointer.epoch) + encode_varint(pointer.offset) + encode_varint(numbers)
    return head + ackmap + attempts


def with_spill(pointer: Pointer, spill: bytes | None) -> Pointer:
    """``pointer`` with what its ``spill`` knows more; as it is where there is none, or one of something else."""
    if spill is None:
        return pointer
    try:
        epoch, base, count, *numbers = decode_varint_bytes(spill)
        if epoch != pointer.epoch or base > pointer.offset or count > len(numbers):
            return pointer
        finished = ackmap_of(numbers[:count], base).above(pointer.offset)
        attempts = attempts_of(numbers[count:], base)
    except (FormatUnreadable, ValueError):
        return pointer
    known = {offset: made for offset, made in attempts.items() if offset >= pointer.offset}
    return msgspec.structs.replace(
        pointer, finished=finished.joined(pointer.finished), attempts={**known, **pointer.attempts}
    )
