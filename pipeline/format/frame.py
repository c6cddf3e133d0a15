"""The Confluent wire frame: one zero byte, the schema's id as a big-endian int32, then the body.

Source: Confluent Schema Registry documentation, "Wire format".
"""

from __future__ import annotations

import struct

from pipeline.errors import FormatUnreadable

SCHEMA_ID_MAX = 2**31 - 1
_HEAD = struct.Struct(">bi")
_MAGIC = 0


def wrap(schema_id: int, body: bytes) -> bytes:
    """``body`` framed for the schema with this id (0 to 2**31-1)."""
    if not 0 <= schema_id <= SCHEMA_ID_MAX:
        raise FormatUnreadable("schema id", schema_id, f"0 to {SCHEMA_ID_MAX}")
    return _HEAD.pack(_MAGIC, schema_id) + body


def unwrap(value: bytes) -> tuple[int, bytes]:
    """The schema's id and the body. Raises `FormatUnreadable` for anything that is not framed."""
    if len(value) < _HEAD.size:
        raise FormatUnreadable("value", f"{len(value)} bytes", "a schema frame: 00, four bytes of schema id, the body")
    magic, schema_id = _HEAD.unpack_from(value)
    if magic != _MAGIC:
        raise FormatUnreadable("value", f"first byte {value[0]:02x}", "a schema frame, which starts with 00")
    if schema_id < 0:
        raise FormatUnreadable("schema id", schema_id, f"0 to {SCHEMA_ID_MAX}")
    return schema_id, value[_HEAD.size :]
