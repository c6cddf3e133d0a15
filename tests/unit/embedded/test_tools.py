"""Which tool a name means, and where the cluster's address goes."""

from __future__ import annotations

import pytest

from pipeline.embedded.tools import TOOLS, find_tool, tool_arguments
from pipeline.errors import InputError


@pytest.mark.parametrize("name", ["topics", "kafka-topics", "kafka-topics.sh"])
def test_a_tool_has_the_names_people_know(name: str) -> None:
    assert find_tool(name) is TOOLS["topics"]


def test_a_misspelt_tool_gets_the_near_names() -> None:
    with pytest.raises(InputError, match="consumer-groups"):
        find_tool("consumer-group")


def test_an_unknown_tool_gets_the_whole_list() -> None:
    with pytest.raises(InputError, match="verifiable-producer"):
        find_tool("xyzzy")


@pytest.mark.parametrize(
    ("tool", "args", "expected"),
    [
        ("topics", ["--list"], ["--bootstrap-server", "b:1", "--list"]),
        ("features", ["describe"], ["--bootstrap-server", "b:1", "describe"]),
        ("cluster", ["cluster-id"], ["cluster-id", "--bootstrap-server", "b:1"]),
        ("replica-verification", ["--time", "-1"], ["--broker-list", "b:1", "--time", "-1"]),
        ("topics", ["--list", "--bootstrap-server", "x:2"], ["--list", "--bootstrap-server", "x:2"]),
        ("topics", ["--list", "--bootstrap-server=x:2"], ["--list", "--bootstrap-server=x:2"]),
        ("acls", ["--list", "--bootstrap-controller", "x:2"], ["--list", "--bootstrap-controller", "x:2"]),
        ("dump-log", ["--files", "f"], ["--files", "f"]),
        ("topics", ["--help"], ["--help"]),
        ("topics", [], []),
        ("get-offsets", [], ["--bootstrap-server", "b:1"]),
    ],
)
def test_the_address_goes_where_the_tool_wants_it(tool: str, args: list[str], expected: list[str]) -> None:
    assert tool_arguments(TOOLS[tool], args, "b:1") == expected


def test_the_environment_names_the_cluster_when_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_BOOTSTRAP_SERVERS", "env:3")
    assert tool_arguments(TOOLS["topics"], ["--list"], None)[1] == "env:3"
    monkeypatch.delenv("PIPELINE_BOOTSTRAP_SERVERS")
    assert tool_arguments(TOOLS["topics"], ["--list"], None)[1] == "127.0.0.1:9092"
