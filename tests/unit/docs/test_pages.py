"""The pages say what is: every command, option, key, route, error and file they name exists, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pipeline.cli.program import command_line
from pipeline.config import known_keys
from pipeline.gateway.problems import MEANINGS
from pipeline.settings import Settings
from pipeline.subscription import Batch, Endpoint, RetryPolicy, Signing, Subscription
from pipeline.telemetry.metrics import Metrics
from pipeline.topic import Topic
from tests.unit.docs.cli_reference import commands, render

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NESTED = {"batch": Batch, "endpoint": Endpoint, "retry": RetryPolicy, "signing": Signing}


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """From the heading that begins with ``title`` to the next of its rank."""
    begin = text.index(f"\n## {title}")
    end = text.find("\n## ", begin + 4)
    return text[begin : end if end >= 0 else len(text)]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row whose first cell is code."""
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in found]


def names(text: str) -> list[str]:
    return [row[0].strip("`") for row in rows(text)]


def shown(value: object) -> str:
    """A default as the pages write it."""
    if value is None:
        return "none"
    if value in ("", ()):
        return "empty"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`"


def default_of(key: tuple[str, ...]) -> object:
    value: Any = Settings()
    for part in key:
        value = getattr(value, part)
    return value


def test_the_command_reference_is_what_the_program_says() -> None:
    assert page("docs/cli.md") == render()


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_every_command_a_page_tells_to_type_exists_with_its_options(file: Path) -> None:
    known = {path[1:]: command for path, command in commands(command_line(), ("pipeline",))}
    for told in re.findall(r"(?:^\$ |\$\(|`)pipeline ([a-z][^`\n)|]*)", file.read_text(), re.MULTILINE):
        words = told.split()
        path = tuple(words[:2]) if tuple(words[:2]) in known else tuple(words[:1])
        if path not in known:  # a group, or several commands in one breath: `dlq list | show | redrive`
            assert any(path[0] == one[0] for one in known), told
            continue
        if path == ("kafka",):
            continue
        options = {name for one in known[path].params for name in (*one.opts, *one.secondary_opts)}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0].strip(",.;:") in options, told


def test_every_setting_is_told_with_its_default_and_no_other() -> None:
    told = rows(section(page("docs/configuration.md"), "Settings"))
    assert {row[0].strip("`"): row[1] for row in told} == {
        ".".join(key): shown(default_of(key)) for key in known_keys()
    }


def test_every_key_of_a_topic_is_told() -> None:
    assert names(section(page("docs/configuration.md"), "A topic")) == list(Topic.__struct_fields__)


def test_every_key_of_a_subscription_is_told() -> None:
    fields: list[str] = []
    for field in Subscription.__struct_fields__:
        inner = NESTED.get(field)
        fields += [field] if inner is None else [f"{field}.{name}" for name in inner.__struct_fields__]
    assert sorted(names(section(page("docs/configuration.md"), "A subscription"))) == sorted(fields)


def test_defaults_of_a_subscription_are_those_it_has() -> None:
    made = msgspec.to_builtins(Subscription(name="x", topics=("t",), endpoint=Endpoint(url="https://x.example/")))
    for row in rows(section(page("docs/configuration.md"), "A subscription")):
        first, _, second = row[0].strip("`").partition(".")
        value = made[first][second] if second else made[first]
        if row[1].startswith("`") and isinstance(value, str | bool | int):
            assert row[1] == shown(value), row[0]


def test_every_route_is_told_and_no_other() -> None:
    document = yaml.safe_load((ROOT / "pipeline" / "gateway" / "openapi.yaml").read_text())
    routes = [
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method != "parameters"
    ]
    assert sorted(names(section(page("docs/http.md"), "Routes"))) == sorted(routes)


def test_every_error_is_told_with_its_status() -> None:
    told = {row[0].strip("`"): (int(row[1]), row[2]) for row in rows(section(page("docs/http.md"), "Errors"))}
    assert told == {code: (meaning.status, meaning.title) for code, meaning in MEANINGS.items()}


def test_metrics_that_pages_name_exist() -> None:
    text = Metrics().text().decode()
    for file in PAGES:
        for name in re.findall(r"`(pipeline_[a-z_]+)", file.read_text()):
            assert name in text, f"{file.name}: {name}"


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_links_and_named_tests_lead_somewhere(file: Path) -> None:
    text = re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert target.startswith("https://") or (file.parent / target).exists(), target
    for target in re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py|tests/[\w/]+)`", text):
        assert (ROOT / target).exists() or list((ROOT / "tests").glob(f"**/{target}")), target


def test_every_room_stands_on_the_map() -> None:
    plan = section(page("docs/design.md"), "2. ")
    for entry in (ROOT / "pipeline").iterdir():
        if entry.suffix == ".py" and entry.stem != "__init__":
            assert re.search(rf"\b{entry.stem}\b", plan), entry.name
        elif entry.is_dir() and (entry / "__init__.py").exists():
            assert f"{entry.name}/" in plan, entry.name


def test_the_demo_in_the_readme_is_at_most_a_hundred_columns_wide() -> None:
    text = page("README.md")
    demo = text[text.index("<!-- demo: begin -->") : text.index("<!-- demo: end -->")]
    assert max(len(line) for line in demo.splitlines()) <= 100
