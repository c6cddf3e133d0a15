"""Configuration: one TOML file, ``PIPELINE_*`` environment and flags become the Settings declared beside each part.

Flags win over the environment, the environment over the file, the file over defaults; `Config.origins` remembers
which it was. Unknown keys are errors that name the nearest known one. The file is ``pipeline.toml``::

    namespace = "app"
    [kafka]
    bootstrap_servers = "broker:9092"     # or PIPELINE_BOOTSTRAP_SERVERS, or PIPELINE_KAFKA_BOOTSTRAP_SERVERS
    [gateway]
    port = 8080                           # or PIPELINE_GATEWAY_PORT
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_type_hints

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.gateway.parts import GatewayLimits
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.view import ViewSettings
from pipeline.names import DEFAULT_NAMESPACE, check_namespace
from pipeline.push.parts import BridgeSettings
from pipeline.runs import RunSettings
from pipeline.telemetry.tracing import TelemetrySettings

FILE_NAME = "pipeline.toml"
ENVIRONMENT_PREFIX = "PIPELINE_"
# Names older than the section scheme, and shared with other tools of this product.
ENVIRONMENT_ALIASES = {"PIPELINE_BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers")}
# Environment variables of this product that configure no setting.
ENVIRONMENT_OTHERS = frozenset({"PIPELINE_CACHE_DIR", "PIPELINE_CONFIG", "PIPELINE_TEST_KAFKA"})
SECRET_KEYS = frozenset({("kafka", "security"), ("secrets", "keys"), ("webhook", "proxy_url")})
_ORIGIN = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,30}")
HIDDEN = "(hidden)"


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


class Config(msgspec.Struct, frozen=True):
    """Effective settings, where each came from (``("kafka", "bootstrap_servers") -> "pipeline.toml"``), and the
    folder.
    """

    settings: Settings
    origins: Mapping[tuple[str, ...], str]
    directory: Path

    def path(self, relative: str) -> Path:
        """A path of the settings, relative to the configuration's folder."""
        return self.directory / relative


Key = tuple[str, ...]


def load_config(
    directory: Path,
    environment: Mapping[str, str],
    flags: Mapping[Key, object],
    base: Mapping[Key, object] | None = None,
) -> Config:
    """The configuration of ``directory``. ``flags`` and ``base`` map keys to values; ``base`` replaces defaults.

    Raises `DeclarationInvalid` naming the key, its value, and where it was set.
    """
    found: dict[Key, tuple[object, str]] = {key: (value, "default here") for key, value in (base or {}).items()}
    file = directory / FILE_NAME
    if file.exists():
        found |= {key: (value, FILE_NAME) for key, value in _flatten(_parsed(file)).items()}
    found |= _from_environment(environment)
    found |= {key: (value, "flag") for key, value in flags.items() if value is not None}
    for key, (_, origin) in found.items():
        _check_known(key, origin)
    return Config(_built(found), {key: origin for key, (_, origin) in found.items()}, directory)


def known_keys() -> dict[Key, Any]:
    """Every key a configuration may set, with its type."""
    keys: dict[Key, Any] = {}
    for name, kind in get_type_hints(Settings).items():
        if name == "namespace":
            keys[name,] = kind
        else:
            # Sections are structs or named tuples; the bridge's namespace is everybody's.
            keys.update({(name, inner): wanted for inner, wanted in get_type_hints(kind).items()})
    del keys["bridge", "namespace"]
    return keys


def environment_name(key: Key) -> str:
    return ENVIRONMENT_PREFIX + "_".join(key).upper()


def effective(config: Config) -> list[tuple[str, object, str]]:
    """(key, value, origin) of everything, secrets hidden; for ``pipeline config``."""
    rows: list[tuple[str, object, str]] = []
    for key in known_keys():
        value: Any = config.settings
        for part in key:
            value = getattr(value, part)
        if key in SECRET_KEYS and value:
            value = HIDDEN
        rows.append((".".join(key), value, config.origins.get(key, "default")))
    return rows


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationInvalid(str(file), str(error), "a TOML file") from None


def _flatten(document: Mapping[str, Any]) -> dict[Key, object]:
    sections = {field.name for field in msgspec.structs.fields(Settings)} - {"namespace"}
    flat: dict[Key, object] = {}
    for name, value in document.items():
        if name in sections and isinstance(value, Mapping):
            flat.update({(name, inner): given for inner, given in value.items()})
        else:
            flat[name,] = value
    return flat


def _from_environment(environment: Mapping[str, str]) -> dict[Key, tuple[object, str]]:
    by_name = {environment_name(key): key for key in known_keys()}
    found: dict[Key, tuple[object, str]] = {}
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in ENVIRONMENT_OTHERS:
            continue
        key = ENVIRONMENT_ALIASES.get(name) or by_name.get(name)
        if key is None:
            near = difflib.get_close_matches(name, by_name, 1, 0.0)
            # Its text is not shown: it may be a secret under a name that was mistyped.
            raise DeclarationInvalid(name, "set in the environment", f"a known variable; the nearest is {near[0]}")
        found[key] = (text, name)
    return found


def _check_known(key: Key, origin: str) -> None:
    known = {".".join(known): known for known in known_keys()}
    name = ".".join(key)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.0)
        raise DeclarationInvalid(name, f"set in {origin}", f"a known key; the nearest is {near[0]}")


def _built(found: Mapping[Key, tuple[object, str]]) -> Settings:
    sections: dict[str, Any] = {}
    types = known_keys()
    for key, (value, origin) in found.items():
        converted = _converted(key, value, origin, types[key])
        if len(key) == 1:
            sections[key[0]] = converted
        else:
            sections.setdefault(key[0], {})[key[1]] = converted
    if "namespace" in sections:
        sections.setdefault("bridge", {})["namespace"] = sections["namespace"]
    made = {
        field.name: cast("type[Any]", field.type)(**sections[field.name])
        if isinstance(sections[field.name], dict)
        else sections[field.name]
        for field in msgspec.structs.fields(Settings)
        if field.name in sections
    }
    return Settings(**made)


def _converted(key: Key, value: object, origin: str, wanted: Any) -> object:
    """``value`` as the field's type; text from the environment may be JSON, or comma-separated for lists."""
    given = value
    if isinstance(value, str) and wanted is not str:
        text = value.strip()
        if text.startswith(("[", "{")):
            try:
                given = msgspec.json.decode(text.encode())
            except msgspec.DecodeError:
                given = text
        elif getattr(wanted, "__origin__", None) is tuple:
            given = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.convert(given, wanted, strict=isinstance(value, str) is False)
    except msgspec.ValidationError as error:
        shown = HIDDEN if key in SECRET_KEYS else value
        expected = str(error).removeprefix("Expected ").partition(", got")[0].replace("`", "")
        raise DeclarationInvalid(".".join(key), shown, f"{expected} (set in {origin})") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
