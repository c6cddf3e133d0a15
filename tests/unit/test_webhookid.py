from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.webhookid import id_parts, id_prefix, webhook_id
from tests.vectors.reading import vectors


@pytest.mark.parametrize("case", vectors("ours/webhook_ids.json"), ids=lambda case: case["id"])
def test_the_id_is_the_same_for_ever(case: dict[str, Any]) -> None:
    assert webhook_id(case["topic_id"], case["partition"], case["offset"]) == case["id"]


def test_ids_of_a_topic_start_alike_and_those_of_its_successor_do_not() -> None:
    prefix = id_prefix("4dLkTnMZRq6gVYyP0v1lXg")
    assert webhook_id("4dLkTnMZRq6gVYyP0v1lXg", 1, 2) == f"{prefix}1_2"
    assert id_prefix("4dLkTnMZRq6gVYyP0v1lXw") == prefix  # only 50 bits are told apart
    assert id_prefix("5dLkTnMZRq6gVYyP0v1lXg") != prefix


def test_has_no_dot_because_signatures_join_with_dots() -> None:
    assert "." not in webhook_id("4dLkTnMZRq6gVYyP0v1lXg", 1, 2)


@pytest.mark.parametrize(
    "topic_id", ["", "short", "4dLkTnMZRq6gVYyP0v1lX!", "4dLkTnMZRq6gVYyP0v1lXh", "4dLkTnMZRq6gVYyP0v1lXg\n"]
)
def test_refuses_what_is_no_topic_id(topic_id: str) -> None:
    with pytest.raises(DeclarationInvalid):
        id_prefix(topic_id)


@pytest.mark.parametrize("case", vectors("ours/webhook_ids.json"), ids=lambda case: case["id"])
def test_an_id_says_where_its_record_lies(case: dict[str, Any]) -> None:
    assert id_parts(case["id"]) == (id_prefix(case["topic_id"]), case["partition"], case["offset"])


@pytest.mark.parametrize(
    "text", ["", "e1", "evt_abc_1_2", "evt_aaaaaaaaaa_01_2", "evt_aaaaaaaaaa_1_2\n", "evt_AAAAAAAAAA_1_2"]
)
def test_what_is_no_webhook_id_says_nothing(text: str) -> None:
    assert id_parts(text) is None
