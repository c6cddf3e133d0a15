"""Topic files become topics, and every complaint names the file and the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.topics.declarations import FILE_BYTES_MAX, load_schemas, load_topics

ROOT = Path(__file__).parents[3]


def declare(directory: Path, text: str, name: str = "orders.yaml") -> Path:
    file = directory / name
    file.write_text(text, encoding="utf-8")
    return file


def complaint(directory: Path) -> DeclarationInvalid:
    with pytest.raises(DeclarationInvalid) as raised:
        load_topics(directory, {"order": "{}"})
    return raised.value


def test_the_shipped_topics_name_only_shipped_schemas() -> None:
    topics = load_topics(ROOT / "topics", load_schemas(ROOT / "schemas"))
    assert [topic.name for topic in topics] == ["customers", "github", "orders", "payments", "shipments"]
    assert {topic.schema for topic in topics} == {"customer", "order", "payment", None}


def test_settings_written_as_numbers_flags_and_lists_are_text_for_kafka(tmp_path: Path) -> None:
    declare(
        tmp_path,
        "name: t\nconfig:\n  retention.ms: 1000\n  preallocate: true\n  cleanup.policy: [compact, delete]\n"
        "  min.cleanable.dirty.ratio: 0.5\n",
    )
    (topic,) = load_topics(tmp_path)
    assert topic.config == {
        "retention.ms": "1000",
        "preallocate": "true",
        "cleanup.policy": "compact,delete",
        "min.cleanable.dirty.ratio": "0.5",
    }


def test_an_absent_folder_declares_nothing(tmp_path: Path) -> None:
    assert load_topics(tmp_path / "none") == []
    assert load_schemas(tmp_path / "none") == {}


def test_an_empty_config_is_no_config(tmp_path: Path) -> None:
    declare(tmp_path, "name: t\nconfig:\n")
    assert load_topics(tmp_path)[0].config == {}


@pytest.mark.parametrize(
    ("text", "field", "part"),
    [
        ("name: t\npartition: 3", "/partition", "did you mean partitions?"),
        ("name: t\nzzz: 3", "/zzz", "one of name, partitions"),
        ("name: t\npartitions: many", "/partitions", "Expected `int`, got `str`"),
        ("name: t\npartitions: 0", "/partitions", "1 to 10000"),
        ("name: _t", "/name", "does not start with _"),
        ("name: 'a b'", "/name", "a-z A-Z 0-9"),
        ("partitions: 3", "/name", "the topic's name"),
        ("name: t\nkey: order_id", "/key", "subject, partitionkey or none"),
        ("name: t\nschema: ordr", "/schema", "a file in schemas/ (order)"),
        ("name: t\nconfig: [1]", "/config", "a mapping"),
        ("name: t\nconfig: {retention.ms: {a: 1}}", "/config/retention.ms", "a text, a number"),
        ("name: t\nname: u", "/", "given twice"),
        ("- t", "/", "a mapping"),
        ("", "/", "a mapping"),
        ("name: [", "/", "YAML"),
        pytest.param("[" * 20_000, "/", "YAML", id="too deep"),
        ("name: !!python/object:os.system {}", "/", "YAML"),
    ],
)
def test_a_wrong_declaration_names_its_file_and_field(tmp_path: Path, text: str, field: str, part: str) -> None:
    file = declare(tmp_path, text)
    error = complaint(tmp_path)
    assert error.field == f"{file} {field}"
    assert part in str(error)


def test_a_topic_is_declared_in_one_file_only(tmp_path: Path) -> None:
    declare(tmp_path, "name: t", "a.yaml")
    declare(tmp_path, "name: t", "b.yml")
    error = complaint(tmp_path)
    assert error.field == f"{tmp_path / 'b.yml'} /name"
    assert "a.yaml" in error.expected


def test_a_file_that_is_no_declaration_by_its_size_is_not_read(tmp_path: Path) -> None:
    declare(tmp_path, "#" * (FILE_BYTES_MAX + 1))
    assert "at most" in str(complaint(tmp_path))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_bytes(b"name: \xff")
    assert "UTF-8" in str(complaint(tmp_path))


def test_a_schema_file_must_be_json(tmp_path: Path) -> None:
    file = declare(tmp_path, "{", "order.avsc")
    with pytest.raises(DeclarationInvalid) as raised:
        load_schemas(tmp_path)
    assert raised.value.field == f"{file} /"


def test_a_subject_is_the_name_of_its_file(tmp_path: Path) -> None:
    declare(tmp_path, '{"type": "string"}', "order.v1.avsc")
    assert load_schemas(tmp_path) == {"order.v1": '{"type": "string"}'}
