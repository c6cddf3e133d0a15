"""Looking again at a topic: once at a time, never fatal."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaError, KafkaException

from pipeline.kafka.topic_news import TopicNews


async def test_those_who_ask_at_once_share_one_look() -> None:
    looks: list[str] = []
    news = TopicNews(looks.append)
    await asyncio.gather(news.refresh("a"), news.refresh("a"), news.refresh("b"))
    assert sorted(looks) == ["a", "b"]


async def test_the_next_question_looks_again() -> None:
    looks: list[str] = []
    news = TopicNews(looks.append)
    await news.refresh("a")
    await news.refresh("a")
    assert looks == ["a", "a"]


async def test_a_cluster_that_does_not_answer_is_no_error_of_its_own() -> None:
    def look(_: str) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    await TopicNews(look).refresh("a")
