"""EmbeddedCluster: three brokers on the loopback address, to see what faults of one of them do."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from pipeline.embedded.broker import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.embedded.settings import EmbeddedSettings, Member
from pipeline.embedded.storage import new_id

NODES = 3
# Two of three controllers must meet before any is ready, on a machine that starts three at once.
START_TIMEOUT_S = 120.0


class EmbeddedCluster:
    """Nodes 0 to 2, each broker and controller; replication 3, two in-sync replicas to append. A context manager.

    Data lies below ``data_dir`` and is kept. Starting raises EmbeddedError.
    """

    def __init__(self, data_dir: Path, *, heap_mb: int = 256) -> None:
        ports = [free_port() for _ in range(NODES)]
        controllers = [free_port() for _ in range(NODES)]
        voters = ",".join(f"{number + 1}@127.0.0.1:{port}" for number, port in enumerate(controllers))
        cluster_id = new_id()
        self.bootstrap_servers = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.nodes = [
            EmbeddedKafka(
                EmbeddedSettings(
                    data_dir=data_dir / f"node-{number}",
                    port=port,
                    heap_mb=heap_mb,
                    start_timeout_s=START_TIMEOUT_S,
                    member=Member(
                        node_id=number + 1,
                        controller_port=controllers[number],
                        voters=voters,
                        cluster_id=cluster_id,
                    ),
                )
            )
            for number, port in enumerate(ports)
        ]

    def start_blocking(self) -> None:
        """All three, side by side: none is ready alone."""
        with ThreadPoolExecutor(NODES) as pool:
            try:
                for started in [pool.submit(node.start_blocking) for node in self.nodes]:
                    started.result()
            except BaseException:
                self.stop_blocking()
                raise

    def stop_blocking(self) -> None:
        with ThreadPoolExecutor(NODES) as pool:
            for stopped in [pool.submit(node.stop_blocking) for node in self.nodes]:
                stopped.result()

    def kill(self, number: int) -> None:
        """SIGKILL for one broker; `restart` brings it back."""
        pid = self.nodes[number].pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self.nodes[number].stop_blocking()

    def restart(self, number: int) -> None:
        """Stop one broker if it runs, and start it on the same port and data."""
        self.nodes[number].stop_blocking()
        self.nodes[number].start_blocking()

    def __enter__(self) -> Self:
        self.start_blocking()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_blocking()
