"""What a broker's last words mean, as a sentence that says what to do."""

from __future__ import annotations

from pipeline.embedded.settings import EmbeddedSettings


def port_taken(port: int) -> str:
    return f"port {port} on 127.0.0.1 is in use{_holder(port)}: stop it, or choose another port (0 takes a free one)"


def _holder(port: int) -> str:
    return ""


def diagnosis(status: int, log: str, settings: EmbeddedSettings, port: int) -> str:
    last = "\n".join(log.strip().splitlines()[-15:])
    if "Address already in use" in log:
        return port_taken(port)
    return f"Kafka ended with status {status} while starting. Last lines of its log:\n{last}"
