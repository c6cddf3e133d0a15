"""Kafka's basic types, there and back, and answers that end too early."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import FormatUnreadable
from pipeline.kafka.wire.primitives import Reader, array, int8, int16, int32, int64, octets, string


@given(
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.none() | st.text(),
    st.binary(),
    st.lists(st.text(max_size=5)),
)
def test_what_is_written_is_read_back(
    small: int, middle: int, large: int, text: str | None, raw: bytes, items: list[str]
) -> None:
    written = int16(small) + int32(middle) + int64(large) + string(text) + octets(raw) + array(map(string, items))
    answer = Reader(written)
    assert (answer.int16(), answer.int32(), answer.int64()) == (small, middle, large)
    assert (answer.string(), answer.octets()) == (text, raw)
    assert answer.array(answer.string) == items


def test_integers_are_big_endian() -> None:
    assert (int8(-1), int16(1), int32(1), int64(1)) == (b"\xff", b"\0\1", b"\0\0\0\1", b"\0\0\0\0\0\0\0\1")


@given(st.binary(max_size=40))
def test_no_answer_makes_the_reader_do_anything_but_read_or_refuse(raw: bytes) -> None:
    answer = Reader(raw)
    with contextlib.suppress(FormatUnreadable):
        answer.array(lambda: (answer.string(), answer.octets(), answer.int64()))


def test_a_count_beyond_what_is_left_is_refused_before_anything_is_made_of_it() -> None:
    with pytest.raises(FormatUnreadable, match="array of 2147483647"):
        Reader(int32(2**31 - 1)).array(lambda: None)


def test_text_that_is_no_utf8_is_read_with_marks() -> None:
    assert Reader(int16(2) + b"a\xff").string() == "a\ufffd"
