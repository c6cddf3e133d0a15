"""Reaching below confluent-kafka, to plant what a cluster rarely does: fatal errors, refused requests.

The functions are librdkafka's own test interface (``rd_kafka_test_fatal_error``, ``rdkafka_mock.h``), called in the
copy of the library that confluent-kafka has loaded.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import confluent_kafka

PRODUCE = 0
OFFSET_COMMIT = 8
OFFSET_FETCH = 9
FIND_COORDINATOR = 10


@cache
def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*.so*")
    return ctypes.CDLL(str(path))


def _handle(client: object) -> ctypes.c_void_p:
    """``rd_kafka_t *`` is the first field after the object's head."""
    return ctypes.c_void_p(ctypes.c_void_p.from_address(id(client) + object.__basicsize__).value)


def make_fatal(client: confluent_kafka.Producer, code: int) -> None:
    """As if the cluster had told this idempotent producer that it cannot go on."""
    assert _library().rd_kafka_test_fatal_error(_handle(client), code, b"planted") == 0


def _mock(host: confluent_kafka.Producer) -> ctypes.c_void_p:
    library = _library()
    library.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
    return ctypes.c_void_p(library.rd_kafka_handle_mock_cluster(_handle(host)))


def refuse(host: confluent_kafka.Producer, request: int, code: int, count: int) -> None:
    """The mock cluster inside ``host`` answers the next ``count`` requests of this kind with ``code``."""
    _library().rd_kafka_mock_push_request_errors(
        _mock(host), ctypes.c_int16(request), ctypes.c_size_t(count), *([ctypes.c_int(code)] * count)
    )


def slow(host: confluent_kafka.Producer, answer_s: float) -> None:
    """Every broker of the mock cluster inside ``host`` takes this long for each answer."""
    every_broker = ctypes.c_int32(-1)
    _library().rd_kafka_mock_broker_set_rtt(_mock(host), every_broker, ctypes.c_int(int(answer_s * 1000)))
