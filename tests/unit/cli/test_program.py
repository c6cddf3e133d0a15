"""The program: one line on standard error for what cannot be done, and an exit status that scripts can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import __version__
from pipeline.cli.program import CHANGES, FAILED, REFUSED, run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tial"], "Did you mean 'tail'?"),
        (["tail"], "Missing argument"),
        (["replay", "orders"], "Missing option '--from'"),
        (["lag", "--nope"], "No such option"),
    ],
)
def test_a_command_line_it_cannot_use_is_said_without_a_traceback(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == FAILED
    assert said in capsys.readouterr().err


def test_a_wrong_setting_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIPELINE_BOOTSTRAP_SERVERS", raising=False)
    (tmp_path / "pipeline.toml").write_text("[kafka]\nbootstrap_server = 'x'\n")
    assert run(["config", "--dir", str(tmp_path)]) == FAILED
    assert "the nearest is kafka.bootstrap_servers" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_exit_statuses_are_the_documented_ones() -> None:
    assert (FAILED, CHANGES, REFUSED) == (1, 2, 3)


def test_config_tells_where_each_value_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIPELINE_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PIPELINE_NAMESPACE", "shop")
    (tmp_path / "pipeline.toml").write_text("[gateway]\nport = 8099\n")
    assert run(["config", "--json", "--dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert '{"setting": "namespace", "value": "shop", "origin": "PIPELINE_NAMESPACE"}' in out
    assert '{"setting": "gateway.port", "value": 8099, "origin": "pipeline.toml"}' in out
