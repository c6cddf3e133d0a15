"""A broker's last words become a sentence that says what to do."""

from __future__ import annotations

import pytest

from pipeline.embedded.failure import IN_USE, Ended, diagnosis, port_taken

INFO = "2026-01-01 00:00:00,000 INFO Loaded /d/logs/__cluster_metadata-0 and meta.properties (UnifiedLog)\n"


def reason(log: str, status: int = 1) -> str:
    ended = Ended(status=status, log=INFO + log, data_dir="/d", heap_mb=512)
    return diagnosis(ended).splitlines()[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", "512 MB"),
        ("Error: Could not reserve enough space for 524288KB object heap", "512 MB"),
        ("# There is insufficient memory for the Java Runtime Environment to continue.", "512 MB"),
        ("java.io.IOException: No space left on device", "disk that holds /d is full"),
        ("java.net.BindException: Address already in use", IN_USE),
        ("KafkaException: Failed to acquire lock on file .lock in /d/logs.", "another Kafka has /d open"),
        ("java.lang.UnsupportedClassVersionError: kafka/Kafka", "Java 17"),
        ("ConfigException: Invalid value x for configuration num.io.threads", "embedded.properties"),
        ("java.nio.file.AccessDeniedException: /d/logs", "cannot be written"),
        ("RuntimeException: No readable meta.properties files found.", "damaged"),
        ("ERROR Error loading __cluster_metadata-0: CorruptRecordException", "damaged"),
    ],
)
def test_a_known_cause_is_named(line: str, expected: str) -> None:
    assert expected in reason(line)


def test_info_lines_are_no_complaint() -> None:
    """A healthy broker's log names meta.properties too."""
    assert "damaged" not in reason("")


def test_a_killed_broker_says_that_memory_may_have_run_out() -> None:
    assert "killed" in reason("", status=137)


def test_the_last_lines_follow() -> None:
    ended = Ended(status=3, log="\n".join(f"line {n}" for n in range(100)), data_dir="/d", heap_mb=512)
    assert diagnosis(ended).splitlines()[1:] == [f"  line {n}" for n in range(85, 100)]


def test_a_taken_port_names_the_port_and_who_has_it() -> None:
    text = port_taken(9092, "process 7 (java)")
    assert "9092" in text
    assert "process 7 (java)" in text
