"""Answers of the cluster: values pass, errors are named."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import TopicNotFound
from pipeline.kafka.admin_answers import answered, ended_with


def failed(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def test_a_value_passes() -> None:
    assert answered(5, "ask") == 5


def test_an_error_of_kafkas_is_raised_as_one_of_ours() -> None:
    with pytest.raises(TopicNotFound) as caught:
        answered(failed(KafkaError.UNKNOWN_TOPIC_OR_PART), "ask", "orders")
    assert caught.value.name == "orders"


def test_any_other_exception_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="odd"):
        answered(ValueError("odd"), "ask")


def test_what_an_answer_ended_with_is_told_by_code() -> None:
    answer = failed(KafkaError.TOPIC_ALREADY_EXISTS)
    assert ended_with(answer, KafkaError._NOENT, KafkaError.TOPIC_ALREADY_EXISTS)
    assert not ended_with(answer, KafkaError._NOENT)
    assert not ended_with("fine", KafkaError._NOENT)
