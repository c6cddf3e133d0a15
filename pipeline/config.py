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
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_type_hints

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.settings import Settings

FILE_NAME = "pipeline.toml"
ENVIRONMENT_PREFIX = "PIPELINE_"
# Names older than the section scheme, and shared with other tools of this product.
ENVIRONMENT_ALIASES = {"PIPELINE_BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers")}
# Environment variables of this product that configure no setting.
ENVIRONMENT_OTHERS = frozenset({"PIPELINE_CACHE_DIR", "PIPELINE_CONFIG", "PIPELINE_TEST_KAFKA"})
SECRET_KEYS = frozenset({("kafka", "security"), ("secrets", "keys"), ("webhook", "proxy_url")})
HIDDEN = "(hidden)"


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
