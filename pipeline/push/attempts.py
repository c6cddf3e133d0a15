"""Attempt records: one line of JSON per attempt, appended to the attempts topic, keyed by subscription."""

from __future__ import annotations

import orjson

from pipeline.delivery.verdict import Fault, Reply, Verdict
from pipeline.record import Position

TOPIC = "_pipeline-attempts"


class AttemptWriter:
    """Renders attempt records of one run; everything that does not change between attempts is rendered once."""

    def __init__(self, subscription: str, run_id: str | None) -> None:
        run = b"" if run_id is None else b',"run":' + orjson.dumps(run_id)
        self.key = subscription.encode()
        self._head = b'{"subscription":' + orjson.dumps(subscription) + run + b',"topic":'
        self._topics: dict[str, bytes] = {}

    def render(
        self, position: Position, id_prefix: str, attempt: int, result: Reply | Fault, verdict: Verdict, at_ms: int
    ) -> bytes:
        """One attempt on the record at ``position``; ``at_ms`` is when it ended (unix milliseconds)."""
        topic, partition, offset = position
        status = result.status if isinstance(result, Reply) else 0
        tail = b"}" if not verdict.summary else b',"error":%b}' % orjson.dumps(verdict.summary)
        return (
            b'%b%b,"partition":%d,"offset":%d,"id":"%b%d_%d","attempt":%d,"status":%d,"verdict":"%b","ms":%d,"at":%d%b'
            % (
                self._head,
                self._topics.get(topic) or self._topic(topic),
                partition,
                offset,
                id_prefix.encode(),
                partition,
                offset,
                attempt,
                status,
                verdict.kind.value.encode(),
                int(result.elapsed_s * 1000),
                at_ms,
                tail,
            )
        )

    def _topic(self, topic: str) -> bytes:
        return self._topics.setdefault(topic, orjson.dumps(topic))
