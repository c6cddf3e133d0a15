from __future__ import annotations

import gzip

import pytest

from pipeline.webhook.reply import EXCERPT_BYTES_MAX, HEAD_BYTES_MAX, INTERIM_MAX, ReplyReader, ReplyUnusable

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def reader_after(*chunks: bytes) -> tuple[ReplyReader, bool]:
    """A reader fed with `chunks`, and whether the last one ended the reply."""
    reader, over = ReplyReader(16_384), False
    for chunk in chunks:
        assert not over
        over = reader.feed(chunk)
    return reader, over


@pytest.mark.parametrize(
    ("data", "status", "reusable"),
    [
        (NO_CONTENT, 204, True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, True),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\ntrailer: x\r\n\r\n", 200, True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", 200, False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", 200, False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", 200, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + NO_CONTENT, 204, True),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + NO_CONTENT, 204, True),
        (b"HTTP/1.1 301 Moved\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n", 301, True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, False),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", 204, False),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204, True),
        (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", 204, False),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", 204, False),
        (b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n", 999, True),
        (NO_CONTENT + NO_CONTENT, 204, False),
        (NO_CONTENT + b"HTTP/1.1 2", 204, False),
        (NO_CONTENT + b"garbage", 204, False),
        (b"HTTP/1.1 204 No Content\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", 204, True),
    ],
)
def test_a_reply_that_came_whole_is_over(data: bytes, status: int, reusable: bool) -> None:
    reader, over = reader_after(data)
    assert (over, reader.status, reader.reusable) == (True, status, reusable)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 20",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 204 No Content\r\nx: y\r\n",
        b"HTTP/1.1 100 C\r\n\r\n",
    ],
)
def test_without_a_complete_final_head_nothing_is_decided(data: bytes) -> None:
    reader, over = reader_after(data)
    assert (over, reader.status) == (False, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 20X OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nna me: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nx: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"<html>",
        b"POST / HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_is_not_usable(data: bytes) -> None:
    with pytest.raises(ReplyUnusable) as caught:
        reader_after(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot hexadecimal\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n",
    ],
)
def test_a_malformed_body_does_not_take_back_the_status(data: bytes) -> None:
    reader, over = reader_after(data)
    assert (over, reader.status, reader.reusable) == (True, 200, False)


def test_switching_protocols_is_refused() -> None:
    with pytest.raises(ReplyUnusable, match="101"):
        reader_after(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n")


def test_a_few_interim_replies_are_passed_over() -> None:
    reader, over = reader_after(b"HTTP/1.1 100 Continue\r\n\r\n" * INTERIM_MAX + NO_CONTENT)
    assert (over, reader.status) == (True, 204)


def test_a_flood_of_interim_replies_is_cut() -> None:
    with pytest.raises(ReplyUnusable, match="interim"):
        reader_after(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + NO_CONTENT)


def test_a_header_of_a_megabyte_is_cut() -> None:
    reader = ReplyReader(16_384)
    head = b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1_000_000
    with pytest.raises(ReplyUnusable, match="head"):
        for start in range(0, len(head), 1000):
            reader.feed(head[start : start + 1000])
            assert start < HEAD_BYTES_MAX + 1000


def test_a_megabyte_of_tiny_headers_in_one_read_is_cut() -> None:
    with pytest.raises(ReplyUnusable, match="head"):
        reader_after(b"HTTP/1.1 200 OK\r\n" + b"a:b\r\n" * 200_000)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
    ],
)
def test_an_endless_body_is_read_no_further_than_its_bound(head: bytes) -> None:
    reader = ReplyReader(16_384)
    assert not reader.feed(head)
    fed = 0
    while not reader.feed(b"x" * 1000):
        fed += 1000
        assert fed <= 16_384
    assert (reader.status, reader.reusable) == (200, False)


@pytest.mark.parametrize("tail", [b"1\r\nx\r\n", b"0\r\n" + b"t: v\r\n" * 10, b"1;" + b"e" * 100])
def test_chunk_framing_counts_towards_the_bound_too(tail: bytes) -> None:
    reader = ReplyReader(1000)
    reader.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    over = reader.feed(tail[:6]) or any(reader.feed(tail[6:] + tail) for _ in range(1000))
    assert over
    assert not reader.reusable


def test_a_compressed_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)[:10_000]
    reader, over = reader_after(
        b"HTTP/1.1 500 No\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(bomb), bomb)
    )
    assert over
    assert reader.excerpt == bomb[:EXCERPT_BYTES_MAX]


def test_only_the_first_bytes_of_a_failures_body_are_kept() -> None:
    reader, _ = reader_after(b"HTTP/1.1 500 No\r\ncontent-length: 5000\r\n\r\n", b"a" * 300, b"b" * 4700)
    assert reader.excerpt == b"a" * 300 + b"b" * (EXCERPT_BYTES_MAX - 300)


def test_nothing_of_a_successs_body_is_kept() -> None:
    reader, _ = reader_after(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert reader.excerpt == b""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 503 No\r\nRetry-After: 120\r\ncontent-length: 0\r\n\r\n", "120"),
        (b"HTTP/1.1 503 No\r\nRETRY-AFTER:   7  \r\ncontent-length: 0\r\n\r\n", "7"),
        (b"HTTP/1.1 503 No\r\nretry-after: \xe9\r\ncontent-length: 0\r\n\r\n", "é"),
        (b"HTTP/1.1 103 Hint\r\nretry-after: 9\r\n\r\nHTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", None),
        (b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\nretry-after: 9\r\n\r\n", None),
    ],
)
def test_retry_after_is_that_of_the_final_head(data: bytes, expected: str | None) -> None:
    reader, _ = reader_after(data)
    assert reader.retry_after == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"timeout=5", 5.0), (b"max=100, Timeout = 30", 30.0), (b"timeout=", None), (b"timeout=-1", None), (b"x", None)],
)
def test_what_the_server_promises_of_keep_alive_is_read(value: bytes, expected: float | None) -> None:
    reader, _ = reader_after(b"HTTP/1.1 204 No Content\r\nkeep-alive: %b\r\n\r\n" % value)
    assert reader.keep_alive_s == expected


def test_after_a_reset_the_next_reply_is_read_afresh() -> None:
    reader, _ = reader_after(b"HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 1\r\n\r\nx")
    reader.reset()
    assert reader.feed(NO_CONTENT)
    assert (reader.status, reader.retry_after, reader.excerpt, reader.reusable) == (204, None, b"", True)
