"""Replies cut anywhere mean the same; bytes from hell end in a status, in a refusal or in waiting, and are bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.webhook.reply import HEAD_BYTES_MAX, ReplyReader, ReplyUnusable

HEADS = st.sampled_from(
    [b"", b"Date: x\r\n", b"Retry-After: 7\r\n", b"Keep-Alive: timeout=5\r\n", b"Connection: close\r\n"]
)
BODIES = st.binary(max_size=40)


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2))
    status, body, more = draw(st.integers(200, 599)), draw(BODIES), draw(HEADS) + draw(HEADS)
    head = b"%bHTTP/1.1 %d X\r\n%b" % (interim, status, more)
    if status in (204, 304):
        return head + b"\r\n"
    if draw(st.booleans()):
        return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[place : place + 1]) for place in range(len(body)))
    return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def read(pieces: list[bytes]) -> tuple[bool, int, bool, str | None, bytes, float | None]:
    reader, over = ReplyReader(16_384), False
    for piece in pieces:
        assert not over, "over before the last byte"
        over = reader.feed(piece)
    return over, reader.status, reader.reusable, reader.retry_after, reader.excerpt, reader.keep_alive_s


@given(replies(), st.data())
def test_a_reply_means_the_same_however_it_is_cut(reply: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(reply) - 1), max_size=8)))
    pieces = [reply[start:end] for start, end in zip([0, *cuts], [*cuts, len(reply)], strict=True)]
    whole = read([reply])
    assert whole[0]
    assert read(pieces) == whole


@given(replies(), replies())
def test_two_replies_at_once_are_one_and_the_end_of_the_connection(first: bytes, second: bytes) -> None:
    reader = ReplyReader(16_384)
    assert reader.feed(first + second)
    assert reader.status == read([first])[1]
    assert not reader.reusable


@given(st.lists(st.one_of(st.binary(max_size=30), replies().map(lambda reply: reply[:25]), HEADS), max_size=20))
def test_bytes_from_hell_end_in_something_known(pieces: list[bytes]) -> None:
    reader = ReplyReader(1000)
    try:
        for piece in pieces:
            if reader.feed(piece):
                assert reader.status >= 200
                return
    except ReplyUnusable as error:
        assert str(error).isprintable()
        assert not reader.status
    assert len(reader.excerpt) <= 512
    assert reader._bytes <= HEAD_BYTES_MAX
