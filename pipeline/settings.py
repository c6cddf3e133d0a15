"""What may be configured: the Settings declared beside each part, by section, and a few that have no part of their own.

Values only, which check themselves when made; where they come from is `pipeline.config`'s to know.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.gateway.parts import GatewayLimits
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.view import ViewSettings
from pipeline.names import DEFAULT_NAMESPACE, check_namespace
from pipeline.push.parts import BridgeSettings
from pipeline.runs import RunSettings
from pipeline.telemetry.tracing import TelemetrySettings

_ORIGIN = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,30}")


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway listens. It has no authentication yet, so anything but loopback needs ``allow_remote``.

    ``public_url``: where receivers find it, for what thin events refer to; empty: they are given a path.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    allow_remote: bool = False
    public_url: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(https?://[!-~]+[^/\s])?", self.public_url):
            raise DeclarationInvalid("gateway.public_url", self.public_url, "an http or https URL without / at its end")
        if not 0 <= self.port <= 65_535:
            raise DeclarationInvalid("gateway.port", self.port, "0 (any free port) to 65535")
        if not self.allow_remote and not _is_loopback(self.host):
            raise DeclarationInvalid(
                "gateway.host",
                self.host,
                "a loopback address (the gateway has no authentication), or allow_remote = true",
            )


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which endpoints may be called, and how.

    ``allow`` lists address ranges let through although the guard forbids them. ``ports``: the only ones that may be
    called; empty: all but those where something other than HTTP listens. ``proxy_url``: an egress proxy
    (``http://[user:password@]host:port``) that every delivery and token request goes through; it is told judged
    addresses, or with ``proxy_resolves`` names, whose addresses it has to judge itself. ``origin``: the DNS name that
    CloudEvents handshakes are asked for.
    """

    allow: tuple[str, ...] = ()
    allow_loopback: bool = False
    allow_http: bool = False
    ports: tuple[int, ...] = ()
    proxy_url: str = ""
    proxy_resolves: bool = False
    origin: str = ""
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if any(not 1 <= port <= 65_535 for port in self.ports):
            raise DeclarationInvalid("webhook.ports", list(self.ports), "ports of 1 to 65535")
        if self.origin and not _ORIGIN.fullmatch(self.origin):
            raise DeclarationInvalid("webhook.origin", self.origin, "a DNS name such as events.example.com")


class RegistrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """``url`` of a Confluent-compatible schema registry; empty: ids are kept in a topic of ours."""

    url: str = ""
    timeout_s: float = 10.0


class FilesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Folders of declarations, relative to the folder of the configuration file."""

    topics: str = "topics"
    schemas: str = "schemas"
    subscriptions: str = "subscriptions"


class SecretsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``keys``: ``<id>:<base64 of 32 bytes>``, newest first. Empty: ``key_file`` is read, and made by ``pipeline
    dev``.
    """

    keys: tuple[str, ...] = ()
    key_file: str = ".pipeline/secret.key"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, by section."""

    namespace: str = DEFAULT_NAMESPACE
    kafka: KafkaSettings = msgspec.field(default_factory=KafkaSettings)
    gateway: GatewaySettings = msgspec.field(default_factory=GatewaySettings)
    limits: GatewayLimits = msgspec.field(default_factory=GatewayLimits)
    bridge: BridgeSettings = msgspec.field(default_factory=BridgeSettings)
    view: ViewSettings = msgspec.field(default_factory=ViewSettings)
    webhook: WebhookSettings = msgspec.field(default_factory=WebhookSettings)
    registry: RegistrySettings = msgspec.field(default_factory=RegistrySettings)
    files: FilesSettings = msgspec.field(default_factory=FilesSettings)
    secrets: SecretsSettings = msgspec.field(default_factory=SecretsSettings)
    telemetry: TelemetrySettings = msgspec.field(default_factory=TelemetrySettings)
    runs: RunSettings = msgspec.field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        check_namespace(self.namespace)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
