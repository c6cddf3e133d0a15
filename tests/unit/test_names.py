from __future__ import annotations

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.names import (
    check_namespace,
    check_subscription_name,
    check_topic_name,
    dead_letter_topic_of,
    group_of,
    topic_id_bytes,
)


@pytest.mark.parametrize("name", ["a", "orders.v1", "A_b-c", "a" * 249])
def test_takes_the_topic_names_kafka_takes(name: str) -> None:
    assert check_topic_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "a\n", "a" * 250])
def test_refuses_the_topic_names_kafka_refuses(name: str) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        check_topic_name(name, field="/topics/0")
    assert caught.value.field == "/topics/0"


@pytest.mark.parametrize("name", ["", "-a", "a.b", "a_b", "a" * 101, "a\n"])
def test_a_subscription_name_has_no_dots_because_groups_are_joined_with_dots(name: str) -> None:
    with pytest.raises(DeclarationInvalid):
        check_subscription_name(name)


@pytest.mark.parametrize("namespace", ["", "a.b", "a" * 118])
def test_a_namespace_leaves_room_for_what_follows_it(namespace: str) -> None:
    with pytest.raises(DeclarationInvalid):
        check_namespace(namespace)


def test_the_longest_names_make_names_kafka_takes() -> None:
    group = group_of(check_namespace("n" * 117), check_subscription_name("s" * 100))
    assert check_topic_name(dead_letter_topic_of(f"{group}.redrive.{'r' * 17}"))


def test_group_and_dead_letter_topic_are_readable() -> None:
    assert group_of("app", "orders") == "app.orders"
    assert dead_letter_topic_of("app.orders") == "app.orders.dlq"


def test_a_topic_id_is_sixteen_bytes() -> None:
    assert topic_id_bytes("AAAAAAAAAAAAAAAAAAAAAQ") == b"\0" * 15 + b"\x01"
    assert topic_id_bytes("_____________________w") == b"\xff" * 16
