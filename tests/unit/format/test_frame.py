from __future__ import annotations

import pytest

from pipeline.errors import FormatUnreadable
from pipeline.format.frame import unwrap, wrap


def test_the_frame_is_a_zero_byte_and_the_id_in_four() -> None:
    assert wrap(258, b"body") == b"\x00\x00\x00\x01\x02body"
    assert unwrap(b"\x00\x00\x00\x01\x02body") == (258, b"body")


@pytest.mark.parametrize(
    "value", [b"", b"\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01body", b"\x00\xff\xff\xff\xffbody", b"{}"]
)
def test_refuses_what_is_not_framed(value: bytes) -> None:
    with pytest.raises(FormatUnreadable):
        unwrap(value)


@pytest.mark.parametrize("schema_id", [-1, 2**31])
def test_refuses_ids_beyond_31_bits(schema_id: int) -> None:
    with pytest.raises(FormatUnreadable):
        wrap(schema_id, b"")
