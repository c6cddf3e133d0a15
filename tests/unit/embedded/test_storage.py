"""An empty directory becomes a formatted one, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.embedded.storage import damage, format_log_dir, new_id


def test_ids_are_what_kafka_makes() -> None:
    """22 characters of URL-safe base64, no leading dash."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 22 and not one.startswith("-") for one in ids)


def test_a_new_directory_gets_identity_and_features(tmp_path: Path) -> None:
    format_log_dir(tmp_path / "logs")
    meta = dict(line.split("=") for line in (tmp_path / "logs" / "meta.properties").read_text().split())
    assert {**meta, "cluster.id": 22, "directory.id": 22} == {
        "version": "1", "node.id": "1", "cluster.id": 22, "directory.id": 22,
    }  # fmt: skip
    assert len(meta["cluster.id"]) == len(meta["directory.id"]) == 22
    assert b"metadata.version" in (tmp_path / "logs" / "bootstrap.checkpoint").read_bytes()


def test_a_formatted_directory_is_left_alone(tmp_path: Path) -> None:
    format_log_dir(tmp_path)
    before = (tmp_path / "meta.properties").read_text()
    format_log_dir(tmp_path)
    assert (tmp_path / "meta.properties").read_text() == before


def batch(offset: int, body: bytes = b"\0" * 49) -> bytes:
    """A record batch as far as its head goes."""
    return offset.to_bytes(8, "big") + (len(body) + 5).to_bytes(4, "big") + b"\0\0\0\1" + b"\2" + body


def formatted(tmp_path: Path, log: bytes | None) -> Path:
    (tmp_path / "orders-0").mkdir()
    if log is not None:
        (tmp_path / "__cluster_metadata-0").mkdir()
        (tmp_path / "__cluster_metadata-0" / "00000000000000000000.log").write_bytes(log)
    return tmp_path


@pytest.mark.parametrize(
    "log", [b"", batch(0), batch(0) + batch(1), batch(0) + batch(1)[:-3], batch(0) + b"\0" * 500, batch(0) + b"\1"]
)
def test_a_whole_or_torn_metadata_log_is_fine(tmp_path: Path, log: bytes) -> None:
    assert damage(formatted(tmp_path, log)) is None


@pytest.mark.parametrize("log", [b"\xff" * 100, batch(0) + b"x" * 100 + batch(1), batch(0)[:16] + b"\0" + batch(1)])
def test_a_metadata_log_that_kafka_would_cut_short_is_damage(tmp_path: Path, log: bytes) -> None:
    assert "cannot be read from byte" in (damage(formatted(tmp_path, log)) or "")


def test_partitions_without_a_metadata_log_are_damage(tmp_path: Path) -> None:
    assert "is gone" in (damage(formatted(tmp_path, None)) or "")


def test_a_new_directory_is_fine(tmp_path: Path) -> None:
    format_log_dir(tmp_path)
    assert damage(tmp_path) is None


def test_a_member_is_formatted_under_its_clusters_id(tmp_path: Path) -> None:
    format_log_dir(tmp_path, node_id=3, cluster_id="given")
    text = (tmp_path / "meta.properties").read_text()
    assert "cluster.id=given\nnode.id=3\n" in text
