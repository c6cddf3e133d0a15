"""Declarations on disk: one topic per ``topics/*.yaml``, one subject per ``schemas/<subject>.avsc``.

Every complaint is a `DeclarationInvalid` whose field reads ``<file> /<pointer>``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pipeline.errors import DeclarationInvalid
from pipeline.topic import Topic

# A declaration is written by hand; one larger than this is some other file.
FILE_BYTES_MAX = 262_144
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")
_FIELDS = tuple(Topic.__struct_fields__)


class _Loader(yaml.SafeLoader):
    """YAML's safe subset; a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.MarkedYAMLError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)


def load_topics(directory: Path, schemas: Mapping[str, str] | None = None) -> list[Topic]:
    """The topics declared in ``directory``, by file name; an absent directory declares none.

    With ``schemas`` (subject to schema text, from `load_schemas`) a topic may only name one of these subjects.
    Raises `DeclarationInvalid` naming the file and the field.
    """
    topics: dict[str, Topic] = {}
    files: dict[str, Path] = {}
    for file in sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")]):
        topic = _load_topic(file)
        if topic.name in topics:
            raise DeclarationInvalid(
                f"{file} /name", topic.name, f"a topic that {files[topic.name]} does not declare already"
            )
        if schemas is not None and topic.schema is not None and topic.schema not in schemas:
            known = ", ".join(sorted(schemas)) or "none yet"
            raise DeclarationInvalid(f"{file} /schema", topic.schema, f"the name of a file in schemas/ ({known})")
        topics[topic.name], files[topic.name] = topic, file
    return list(topics.values())


def load_schemas(directory: Path) -> dict[str, str]:
    """Subject to schema text for every ``<subject>.avsc`` in ``directory``; whether it is Avro the registry says."""
    schemas = {}
    for file in sorted(directory.glob("*.avsc")):
        text = _read(file)
        try:
            json.loads(text)
        except ValueError as error:
            raise DeclarationInvalid(f"{file} /", str(error), "an Avro schema, which is JSON") from None
        schemas[file.stem] = text
    return schemas


def _load_topic(file: Path) -> Topic:
    try:
        content = yaml.load(_read(file), Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise DeclarationInvalid(f"{file} /", " ".join(str(error).split()), "YAML") from None
    if not isinstance(content, dict):
        raise DeclarationInvalid(f"{file} /", content, "a mapping with at least name: <topic>")
    declared = _with_texts(file, content)
    try:
        return msgspec.convert(declared, Topic)
    except DeclarationInvalid as error:  # what `Topic` found when made
        raise DeclarationInvalid(f"{file} /{error.field}", error.value, error.expected) from None
    except msgspec.ValidationError as error:
        raise _named(file, error) from None


def _with_texts(file: Path, content: dict[Any, Any]) -> dict[Any, Any]:
    """``content`` with its ``config`` all text, as Kafka wants it: numbers, ``true`` and lists may be written bare."""
    config = content.get("config")
    if config is None:
        return {key: value for key, value in content.items() if key != "config"}
    if not isinstance(config, dict):
        raise DeclarationInvalid(f"{file} /config", config, "a mapping of Kafka topic settings")
    return {**content, "config": {str(key): _text(file, str(key), value) for key, value in config.items()}}


def _text(file: Path, key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and value:
        return ",".join(_text(file, key, item) for item in value)
    raise DeclarationInvalid(f"{file} /config/{key}", value, "a text, a number, true, false or a list of texts")


def _named(file: Path, error: msgspec.ValidationError) -> DeclarationInvalid:
    problem, _, path = str(error).partition(" - at ")
    if unknown := _UNKNOWN_FIELD.search(problem):
        near = difflib.get_close_matches(unknown[1], _FIELDS, n=1)
        expected = f"did you mean {near[0]}?" if near else f"one of {', '.join(_FIELDS)}"
        return DeclarationInvalid(f"{file} /{unknown[1]}", unknown[1], expected)
    if "missing required field" in problem:
        return DeclarationInvalid(f"{file} /name", "", "the topic's name")
    return DeclarationInvalid(f"{file} /{path.strip('`$.')}", problem, "another type")


def _read(file: Path) -> str:
    size = file.stat().st_size
    if size > FILE_BYTES_MAX:
        raise DeclarationInvalid(f"{file} /", f"{size} bytes", f"at most {FILE_BYTES_MAX} bytes")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DeclarationInvalid(f"{file} /", f"byte {error.start}", "UTF-8 text") from None
