"""The class-data archive is bound to one Java and one set of jars."""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path

import pytest

from pipeline.embedded.archive import ArchiveMaking, archive_file, archive_options
from pipeline.embedded.distribution import Distribution
from pipeline.embedded.java import Java

JAVA = Java(Path("/usr/bin/java"), "17.0.15", "1:2")


def test_another_build_has_another_archive(tmp_path: Path) -> None:
    distribution = Distribution("4", tmp_path, ())
    other = Java(JAVA.path, JAVA.version, "1:3")
    assert archive_file(distribution, JAVA) != archive_file(distribution, other)


def test_options_appear_once_it_is_there(tmp_path: Path) -> None:
    distribution = Distribution("4", tmp_path, ())
    assert archive_options(distribution, JAVA) == []
    archive_file(distribution, JAVA).touch()
    assert "-Xshare:auto" in archive_options(distribution, JAVA)


def test_an_existing_archive_is_not_made_again(tmp_path: Path) -> None:
    distribution = Distribution("4", tmp_path, ())
    archive_file(distribution, JAVA).touch()
    assert ArchiveMaking.begin(distribution, JAVA) is None


def test_a_java_that_makes_none_is_asked_once(tmp_path: Path) -> None:
    """Here it is the program `false`."""
    distribution = Distribution("4", tmp_path, ())
    java = Java(Path("/bin/false"), "17", "0")
    making = ArchiveMaking.begin(distribution, java)
    assert making is not None
    assert not making.wait()
    assert ArchiveMaking.begin(distribution, java) is None


@pytest.mark.parametrize("name", ["kafka/server/KafkaBroker", "org/apache/kafka/tools/TopicCommand"])
def test_the_list_has_the_brokers_and_the_tools_classes(name: str) -> None:
    packed = resources.files("pipeline.embedded").joinpath("classes.list.gz").read_bytes()
    assert f"\n{name} " in "\n" + gzip.decompress(packed).decode().replace("\n", " \n")
