"""What a broker's last words mean, as a sentence that says what to do. Pure: text in, text out."""

from __future__ import annotations

import msgspec

LAST_LINES = 15
IN_USE = "is in use"


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A broker that ended without being asked: exit status (128 + signal), the end of its log, what it was told."""

    status: int
    log: str
    data_dir: str
    heap_mb: int


# The first line that any of the marks is found in decides; the marks are words of Java and of Kafka 4.
MEMORY = ("OutOfMemoryError", "Could not reserve enough space", "insufficient memory for the Java Runtime",
          "Cannot allocate memory", "unable to allocate", "os::commit_memory")  # fmt: skip
DISK_FULL = ("No space left on device",)
IN_USE_MARKS = ("Address already in use",)
LOCKED = ("Failed to acquire lock on file",)
OLD_JAVA = ("UnsupportedClassVersionError",)
SETTING = ("ConfigException", "IllegalArgumentException: requirement failed", "NumberFormatException")
NOT_WRITABLE = ("AccessDeniedException", "Read-only file system")
CORRUPT = ("meta.properties", "CorruptRecordException", "InconsistentClusterIdException", "CorruptIndexException",
           "InconsistentBrokerMetadataException",
    "node ID not found",
    "log directory has failed", "bootstrap.checkpoint", "__cluster_metadata", "quorum-state",
           "KafkaStorageException")  # fmt: skip
KILLED = 128 + 9


def port_taken(port: int, holder: str) -> str:
    """Who has it, and the two ways out."""
    return (
        f"port {port} on 127.0.0.1 {IN_USE} by {holder}: stop that, or choose another port (0 takes a free one); "
        f"if it is a Kafka of yours, set PIPELINE_BOOTSTRAP_SERVERS=127.0.0.1:{port}"
    )


def diagnosis(ended: Ended) -> str:
    """Why it ended and what would help, followed by its last lines."""
    lines = _telling(ended.log) or ended.log.splitlines()
    last = "\n".join(f"  {line}" for line in lines[-LAST_LINES:])
    return f"Kafka ended with status {ended.status}: {_reason(ended)}" + (f"\n{last}" if last else "")


def _reason(ended: Ended) -> str:
    def says(marks: tuple[str, ...]) -> bool:
        return any(mark in line for line in _telling(ended.log) for mark in marks)

    if says(MEMORY) or ended.status == KILLED:
        how = "something killed it, as the kernel does when memory runs out" if ended.status == KILLED else "no memory"
        return f"{how}; its heap is {ended.heap_mb} MB (embedded.heap_mb): change that, or free memory"
    table = (
        (DISK_FULL, f"the disk that holds {ended.data_dir} is full"),
        (IN_USE_MARKS, f"a port {IN_USE} that was free a moment ago"),
        (LOCKED, f"another Kafka has {ended.data_dir} open"),
        (NOT_WRITABLE, f"{ended.data_dir} cannot be written"),
        (OLD_JAVA, "this Java is too old for Kafka 4; Java 17 or newer is needed"),
        (SETTING, "a setting does not fit (embedded.properties)"),
        (CORRUPT, f"{ended.data_dir} is damaged or is another cluster's; move it away to start with an empty one"),
    )
    return next((reason for marks, reason in table if says(marks)), "its last lines may say why")


def _telling(log: str) -> list[str]:
    """Lines that complain. INFO lines and stack frames name files and classes too, and complain of nothing."""
    lines = (line.rstrip() for line in log.splitlines())
    return [line for line in lines if line and " INFO " not in line and not line.startswith(("\tat ", "\t..."))]
