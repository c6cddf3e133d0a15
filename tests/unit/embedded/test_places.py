"""Where the cache is, and locks between processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.embedded.places import cache_dir, locked, process_lives, try_lock
from pipeline.errors import EmbeddedError


def test_the_cache_is_ours_or_xdgs_or_below_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("PIPELINE_CACHE_DIR", raising=False)
    assert cache_dir() == Path("/home/u/.cache/event-pipeline")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_dir() == Path("/xdg/event-pipeline")
    monkeypatch.setenv("PIPELINE_CACHE_DIR", "/own")
    assert cache_dir() == Path("/own")


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    first = try_lock(tmp_path / "lock")
    assert first is not None
    assert try_lock(tmp_path / "lock") is None
    first.close()
    again = try_lock(tmp_path / "lock")
    assert again is not None
    again.close()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match=r"file/below cannot be written to \(Not a directory\)"):
        try_lock(tmp_path / "file" / "below" / "lock")


def test_shared_holders_keep_out_the_one_who_wants_it_alone(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", timeout_s=0, shared=True), locked(tmp_path / "lock", timeout_s=0, shared=True):
        assert try_lock(tmp_path / "lock") is None


def test_waiting_for_a_lock_ends(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock", timeout_s=0),
        pytest.raises(EmbeddedError, match="another process"),
        locked(tmp_path / "lock", timeout_s=0),
    ):
        pass


@pytest.mark.parametrize("text", ["", "x", "99999999"])
def test_what_is_no_process_does_not_live(text: str) -> None:
    assert not process_lives(text)


def test_this_process_lives() -> None:
    assert process_lives(str(os.getpid()))
