"""Kafka's own command line tools, run as they are, in a Java child with our terminal."""

from __future__ import annotations

import difflib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib import resources
from types import MappingProxyType

import msgspec

from pipeline.embedded.archive import COLLECTOR, archive_options
from pipeline.embedded.distribution import ensure_distribution
from pipeline.embedded.java import find_java
from pipeline.errors import InputError

DEFAULT_BOOTSTRAP = "127.0.0.1:9092"
HEAP = "-Xmx256m"


class Address(Enum):
    """Where a tool takes the address of the cluster."""

    FIRST = "--bootstrap-server before everything else, which every parser of theirs takes"
    LAST = "--bootstrap-server after the verb"
    BROKER_LIST = "--broker-list"
    NONE = "works on files, or takes something else"


class Tool(msgspec.Struct, frozen=True):
    """``alone``: it does its work without any argument but the address; the others print their help then."""

    main: str
    address: Address = Address.FIRST
    alone: bool = False


_T = "org.apache.kafka.tools."

# The names of bin/kafka-*.sh without "kafka-"; the classes are those of the pinned release.
TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "acls": Tool(_T + "AclCommand"),
        "broker-api-versions": Tool(_T + "BrokerApiVersionsCommand", alone=True),
        "client-metrics": Tool(_T + "ClientMetricsCommand"),
        "cluster": Tool(_T + "ClusterTool", Address.LAST),
        "configs": Tool("kafka.admin.ConfigCommand"),
        "console-consumer": Tool(_T + "consumer.ConsoleConsumer"),
        "console-producer": Tool(_T + "ConsoleProducer"),
        "console-share-consumer": Tool(_T + "consumer.ConsoleShareConsumer"),
        "consumer-groups": Tool(_T + "consumer.group.ConsumerGroupCommand"),
        "consumer-perf-test": Tool(_T + "ConsumerPerformance"),
        "delegation-tokens": Tool(_T + "DelegationTokenCommand"),
        "delete-records": Tool(_T + "DeleteRecordsCommand"),
        "dump-log": Tool(_T + "DumpLogSegments", Address.NONE),
        "e2e-latency": Tool(_T + "EndToEndLatency"),
        "features": Tool(_T + "FeatureCommand"),
        "get-offsets": Tool(_T + "GetOffsetShell", alone=True),
        "groups": Tool(_T + "GroupsCommand"),
        "jmx": Tool(_T + "JmxTool", Address.NONE),
        "leader-election": Tool(_T + "LeaderElectionCommand"),
        "log-dirs": Tool(_T + "LogDirsCommand"),
        "metadata-quorum": Tool(_T + "MetadataQuorumCommand"),
        "metadata-shell": Tool("org.apache.kafka.shell.MetadataShell", Address.NONE),
        "producer-perf-test": Tool(_T + "ProducerPerformance"),
        "reassign-partitions": Tool(_T + "reassign.ReassignPartitionsCommand"),
        "replica-verification": Tool(_T + "ReplicaVerificationTool", Address.BROKER_LIST),
        "share-consumer-perf-test": Tool(_T + "ShareConsumerPerformance"),
        "share-groups": Tool(_T + "consumer.group.ShareGroupCommand"),
        "storage": Tool("kafka.tools.StorageTool", Address.NONE),
        "streams-application-reset": Tool(_T + "StreamsResetter"),
        "streams-groups": Tool(_T + "streams.StreamsGroupCommand"),
        "topics": Tool(_T + "TopicCommand"),
        "transactions": Tool(_T + "TransactionsCommand"),
        "verifiable-consumer": Tool(_T + "VerifiableConsumer"),
        "verifiable-producer": Tool(_T + "VerifiableProducer"),
        "verifiable-share-consumer": Tool(_T + "VerifiableShareConsumer"),
    }
)

_OWN_ADDRESS = ("--bootstrap-server", "--bootstrap-controller", "--bootstrap-servers", "--broker-list")
_ASKS_ONLY = frozenset({"--help", "--version", "-h", "-v"})


def find_tool(name: str) -> Tool:
    """The tool called ``topics``, ``kafka-topics`` or ``kafka-topics.sh``; raises InputError with near names."""
    plain = name.removesuffix(".sh").removeprefix("kafka-")
    if plain in TOOLS:
        return TOOLS[plain]
    near = difflib.get_close_matches(plain, TOOLS, n=3, cutoff=0.5)
    raise InputError("tool", name, f"{' or '.join(near)}" if near else f"one of {', '.join(TOOLS)}")


def tool_arguments(tool: Tool, args: Sequence[str], bootstrap: str | None) -> list[str]:
    """``args``, with the cluster's address where this tool wants it, unless they name one or only ask for help."""
    given = any(arg.split("=", 1)[0] in _OWN_ADDRESS for arg in args)
    asks_only = _ASKS_ONLY.issuperset(args) and not (tool.alone and not args)
    if given or asks_only or tool.address is Address.NONE:
        return list(args)
    address = bootstrap or os.environ.get("PIPELINE_BOOTSTRAP_SERVERS") or DEFAULT_BOOTSTRAP
    if tool.address is Address.LAST:
        return [*args, "--bootstrap-server", address]
    option = "--broker-list" if tool.address is Address.BROKER_LIST else "--bootstrap-server"
    return [option, address, *args]


def run_tool(name: str, args: Sequence[str], bootstrap: str | None = None) -> int:
    """Run a stock tool with our stdin, stdout and stderr; its exit status (128 + signal when one ended it).

    ``bootstrap`` None: ``PIPELINE_BOOTSTRAP_SERVERS``, else ``127.0.0.1:9092``. Raises InputError for an unknown
    tool, EmbeddedError when Kafka's jars or a Java cannot be had.
    """
    tool = find_tool(name)
    distribution, java = ensure_distribution(), find_java()
    log4j = resources.files("pipeline.embedded").joinpath("log4j2-tools.xml")
    words = [
        str(java.path), HEAP, COLLECTOR, "-XX:TieredStopAtLevel=1", *archive_options(distribution, java),
        f"-Dlog4j2.configurationFile={log4j}", tool.main, *tool_arguments(tool, args, bootstrap),
    ]  # fmt: skip
    environment = {**os.environ, "CLASSPATH": distribution.class_path}
    child = subprocess.Popen(words, env=environment)  # noqa: S603 - one fixed program, arguments as given, no shell
    with _signals_left_to(child):
        status = child.wait()
    return 128 - status if status < 0 else status


@contextmanager
def _signals_left_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C reaches the tool by itself, which decides what it means; a SIGTERM for us is handed on, so it ends too."""
    if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
        yield
        return
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
