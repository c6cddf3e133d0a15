"""Jars are fetched once, checked, and put in place whole. The Maven repository here is a folder; nothing is online."""

from __future__ import annotations

import hashlib
import sys
import threading
from pathlib import Path

import pytest

from pipeline.embedded.distribution import Jar, Pin, ensure_jars, load_pin
from pipeline.errors import EmbeddedError

pytest.importorskip("jgo")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own Maven repository; the network one is a port where nobody listens."""
    config = tmp_path / "jgo.conf"
    config.write_text("[repositories]\nnowhere = http://127.0.0.1:1\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("PIPELINE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "m2"


def jar(name: str, content: bytes) -> Jar:
    return Jar(f"org.example:{name}:1.0", hashlib.sha256(content).hexdigest(), len(content))


def put(repository: Path, one: Jar, content: bytes) -> None:
    group, artifact, version = one.jar.split(":")
    file = repository / group.replace(".", "/") / artifact / version / one.file_name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


A, B = jar("a", b"first"), jar("b", b"second")
PIN = Pin("9.9", (A, B))


def test_the_class_path_is_the_pin_in_its_order(repository: Path) -> None:
    put(repository, A, b"first")
    put(repository, B, b"second")
    distribution = ensure_jars(PIN)
    paths = distribution.class_path.split(":")
    assert [Path(path).read_bytes() for path in paths] == [b"first", b"second"]


def test_a_second_call_fetches_nothing(repository: Path) -> None:
    put(repository, A, b"first")
    ensure_jars(Pin("9.9", (A,)))
    told: list[str] = []
    ensure_jars(Pin("9.9", (A,)), told.append)
    assert not told


def test_a_file_that_is_not_the_pinned_one_is_never_used(repository: Path) -> None:
    """Neither one on the machine nor one from the network; here the network is not there."""
    put(repository, A, b"other")
    with pytest.raises(EmbeddedError, match="network"):
        ensure_jars(Pin("9.9", (A,)))


def test_without_a_network_the_error_says_what_would_do(repository: Path) -> None:
    with pytest.raises(EmbeddedError, match="PIPELINE_BOOTSTRAP_SERVERS"):
        ensure_jars(PIN)


def test_without_the_extra_the_error_says_how_to_install_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(EmbeddedError, match=r"pip install event-pipeline\[embedded\]"):
        ensure_jars(PIN)


def test_an_interrupted_fetch_goes_on(repository: Path) -> None:
    put(repository, A, b"first")
    with pytest.raises(EmbeddedError):
        ensure_jars(PIN)
    put(repository, A, b"gone")
    put(repository, B, b"second")
    assert len(ensure_jars(PIN).class_path.split(":")) == 2


def test_a_file_cut_short_is_fetched_again(repository: Path) -> None:
    put(repository, A, b"first")
    path = Path(ensure_jars(Pin("9.9", (A,))).class_path)
    path.write_bytes(b"fi")
    ensure_jars(Pin("9.9", (A,)))
    assert path.read_bytes() == b"first"


def test_several_at_once_agree(repository: Path) -> None:
    put(repository, A, b"first")
    put(repository, B, b"second")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(ensure_jars(PIN).class_path)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_the_pin_is_one_flat_class_path() -> None:
    """Every artifact once, Kafka at one version, each file named by a whole SHA-256."""
    pin = load_pin()
    names = [one.jar.rsplit(":", 1)[0] for one in pin.jars]
    assert len(names) == len(set(names))
    kafka = {one.jar.split(":")[2] for one in pin.jars if one.jar.startswith("org.apache.kafka:")}
    assert kafka == {pin.kafka}
    assert all(len(one.sha256) == 64 for one in pin.jars)
