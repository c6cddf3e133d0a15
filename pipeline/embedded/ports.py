"""Ports on the loopback address: which are free, and who holds one that is not."""

from __future__ import annotations

import importlib
import socket
from typing import Any

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port nobody listens on just now; somebody else may take it before it is bound."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def holder(port: int) -> str:
    """``process 4711 (java)`` for the listener on ``port`` where the system tells us, else how to find out."""
    unknown = f"a process we may not look at (try: lsof -i :{port})"
    try:
        psutil: Any = importlib.import_module("psutil")  # comes with the extra; wanted only to explain a failure
    except ImportError:
        return unknown
    try:
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
                return f"process {found.pid} ({psutil.Process(found.pid).name()})"
    except psutil.Error:
        pass
    return unknown
