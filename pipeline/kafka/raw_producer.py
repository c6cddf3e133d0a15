"""RawProducer: one librdkafka producer, with what must be known to use and to close it safely."""

from __future__ import annotations

import threading
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from pipeline.kafka.client import ClientConf, kafka_error

# How long to ask after a topic that seems missing; closing waits for it.
_LOOK_S = 2.0


class RawProducer:
    """``produce`` is librdkafka's own. ``lost``: a fatal error came, it sends no more. ``last_error``: its words."""

    def __init__(self, conf: ClientConf) -> None:
        self.lost = False
        self.last_error = ""
        whole: dict[str, Any] = {**conf, "error_cb": self._noted}
        self._client = confluent_kafka.Producer(whole)
        self.produce = self._client.produce
        self._blocked = threading.Lock()
        self._closed = False

    def serve(self) -> int:
        """Run the callbacks of what was reported since; never waits. How much there was."""
        try:
            return self._client.poll(0)
        except KafkaException as error:  # a fatal error comes this way; reports behind it come with the next call
            self._noted(kafka_error(error))
            self.lost = True
            return 1

    @property
    def is_empty(self) -> bool:
        """Whether everything accepted has been reported."""
        return not len(self._client)

    def purge(self) -> None:
        """Fail everything it holds; `serve` brings the reports. (The binding's ``blocking`` means its opposite.)"""
        self._client.purge(in_queue=True, in_flight=True, blocking=False)

    def look(self, topic: str) -> None:
        """On a thread: ask the cluster for `topic`; what is heard becomes the client's own view."""
        with self._blocked:
            if not self._closed:
                self._client.list_topics(topic, _LOOK_S)

    def close(self) -> None:
        """On a thread, when it is empty. Never under a `look`: closing frees what that is using."""
        with self._blocked:
            self._closed = True
            self._client.close()

    def _noted(self, error: KafkaError) -> None:
        self.last_error = f"{error.name()}: {error.str()}"
