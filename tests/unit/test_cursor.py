from __future__ import annotations

import base64
from typing import Any

import pytest

from pipeline.cursor import PARTITIONS_MAX, TOKEN_CHARACTERS_MAX, Cursor, topic_prefix
from pipeline.errors import CursorMalformed
from tests.vectors.reading import vectors

TOPIC = "4dLkTnMZRq6gVYyP0v1lXg"
PREFIX = b"\xe1\xd2\xe4\x4e"
CASES = vectors("ours/cursor_tokens.json")


def token_of(*octets: int) -> str:
    return "v1." + base64.urlsafe_b64encode(PREFIX + bytes(octets)).rstrip(b"=").decode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["token"][:30])
def test_a_token_given_out_once_is_read_for_ever(case: dict[str, Any]) -> None:
    next_offsets = {int(partition): offset for partition, offset in case["next_offsets"].items()}
    assert Cursor(case["topic_id"], next_offsets).token() == case["token"]
    parsed = Cursor.parse(case["token"])
    assert dict(parsed.next_offsets) == next_offsets
    assert parsed.fits(case["topic_id"])


def test_partitions_may_come_in_any_order() -> None:
    assert Cursor(TOPIC, {2: 5, 0: 7}).token() == Cursor(TOPIC, {0: 7, 2: 5}).token()


def test_a_token_of_another_topic_does_not_fit() -> None:
    assert not Cursor.parse(Cursor(TOPIC, {0: 1}).token()).fits("AAAAAAAAAAAAAAAAAAAAAQ")


def test_the_prefix_is_the_first_four_bytes_of_the_topic_id() -> None:
    assert topic_prefix(TOPIC) == PREFIX


@pytest.mark.parametrize(
    ("why", "token"),
    [
        ("empty", ""),
        ("another version", "v2.4dLkTgEAAA"),
        ("no base64", "v1.4dLkTgEA*A"),
        ("standard base64", "v1.4dLkTgH/////BwE"),
        ("padding", "v1.4dLkTgA="),
        ("a length base64 never has", "v1.4dLkTgEAA"),
        ("unused bits set", "v1.4dLkTgB"),
        ("a space", "v1.4dLkTgEA AA"),
        ("not ASCII", "v1.4dLkTgEAéé"),
        ("nothing", "v1."),
        ("half a prefix", "v1.4dI"),
        ("no count", "v1.4dLkTg"),
        ("fewer pairs than counted", token_of(2, 0, 0)),
        ("more pairs than counted", token_of(1, 0, 0, 1, 0)),
        ("half a pair", token_of(1, 0)),
        ("a byte after the end", token_of(1, 0, 0, 0)),
        ("partitions not ascending", token_of(2, 1, 0, 0, 0)),
        ("a partition twice", token_of(2, 1, 0, 1, 0)),
        ("a number with a needless byte", token_of(1, 0, 0x80, 0)),
        ("a number that does not end", token_of(1, 0, 0x80)),
        ("a number of 64 bits", token_of(1, 0, *[0xFF] * 9, 1)),
        ("a partition of 32 bits", token_of(1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0)),
        ("a count that is a lie", token_of(0xFF, 0xFF, 0xFF, 0x7F)),
        ("too long", "v1." + "A" * TOKEN_CHARACTERS_MAX),
    ],
)
def test_refuses_anything_it_would_not_have_written(why: str, token: str) -> None:
    with pytest.raises(CursorMalformed) as caught:
        Cursor.parse(token)
    assert caught.value.field == "cursor", why


@pytest.mark.parametrize(
    ("topic_id", "next_offsets"),
    [(TOPIC, {-1: 0}), (TOPIC, {0: -1}), (TOPIC, {2**31: 0}), (TOPIC, {0: 2**63}), ("no id", {0: 0})],
)
def test_refuses_what_kafka_does_not_have(topic_id: str, next_offsets: dict[int, int]) -> None:
    with pytest.raises(CursorMalformed):
        Cursor(topic_id, next_offsets)


def test_holds_as_many_partitions_as_a_topic_may_have_and_no_more() -> None:
    full = {PARTITIONS_MAX * 7 + partition: 2**63 - 1 for partition in range(PARTITIONS_MAX)}
    assert dict(Cursor.parse(Cursor(TOPIC, full).token()).next_offsets) == full
    with pytest.raises(CursorMalformed):
        Cursor(TOPIC, {**full, 1: 1})


def test_a_cursor_does_not_change_when_the_mapping_it_was_made_from_does() -> None:
    given = {0: 1}
    cursor = Cursor(TOPIC, given)
    given[0] = 2
    assert cursor.next_offsets[0] == 1
