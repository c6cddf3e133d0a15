"""A container of the image ``apache/kafka``, for the tests (opt-in: ``PIPELINE_TEST_KAFKA=testcontainers``).

Testcontainers' own KafkaContainer knows the layout of another image. This one starts by ``/etc/kafka/docker/run``,
which turns environment variables into broker properties (``KAFKA_NODE_ID`` is ``node.id``) and formats the storage.

The address clients are told must name the port that Docker picks on the host, which is known only once the container
runs. So it starts with a command that waits for a script; the script, copied in then, sets the address and goes on with
the image's own start. The pure part is checked in tests/unit/test_kafka_container.py; no Docker needed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pipeline.embedded.settings import ONE_NODE

IMAGE = "apache/kafka:4.3.1"
PORT = 9092
START_SCRIPT = "/tmp/pipeline-start.sh"  # noqa: S108 - inside the container, where only we are
READY = "Kafka Server started"
WAIT_COMMAND = ("sh", "-c", f"while [ ! -s {START_SCRIPT} ]; do sleep 0.1; done; exec sh {START_SCRIPT}")


def variable(name: str) -> str:
    """The image's variable for a property: ``log.dirs`` is KAFKA_LOG_DIRS, ``_`` becomes ``__`` and ``-`` ``___``."""
    return "KAFKA_" + name.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def environment() -> dict[str, str]:
    """The same one-node settings as the embedded broker's, but for the addresses inside a container."""
    properties: Mapping[str, str] = {
        **ONE_NODE,
        "controller.quorum.voters": "1@127.0.0.1:9094",
        "listeners": f"PLAINTEXT://0.0.0.0:{PORT},BROKER://127.0.0.1:9093,CONTROLLER://127.0.0.1:9094",
        "inter.broker.listener.name": "BROKER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": "/tmp/kafka-logs",  # noqa: S108 - inside the container
    }
    return {variable(name): value for name, value in properties.items()}


def start_script(host: str, port: int) -> str:
    """Tells clients ``host:port`` and starts the image's own way."""
    advertised = f"PLAINTEXT://{host}:{port},BROKER://127.0.0.1:9093"
    return f"export KAFKA_ADVERTISED_LISTENERS={shlex.quote(advertised)}\nexec /etc/kafka/docker/run\n"


@contextmanager
def container() -> Iterator[str]:
    """The bootstrap address of a broker in a container that lasts as long as the context."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - docker, for this source only
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    broker = DockerContainer(IMAGE).with_exposed_ports(PORT).with_envs(**environment()).with_command(list(WAIT_COMMAND))
    with broker:
        host, port = broker.get_container_host_ip(), int(broker.get_exposed_port(PORT))
        broker.copy_into_container(start_script(host, port).encode(), START_SCRIPT)
        LogMessageWaitStrategy(READY).wait_until_ready(broker)
        yield f"{host}:{port}"
