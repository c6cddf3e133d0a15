"""Ports on the loopback address."""

from __future__ import annotations

import os
import socket

from pipeline.embedded.ports import answers, free_port, holder


def test_a_listener_answers_and_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers(port)
        assert f"process {os.getpid()} (" in holder(port)


def test_a_free_port_does_not_answer() -> None:
    port = free_port()
    assert not answers(port)
    assert "lsof" in holder(port)
