"""Settings check themselves and become broker properties."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedded.settings import EmbeddedSettings, Member, properties_text, server_properties
from pipeline.errors import DeclarationInvalid

HERE = Path("/data")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"port": -1}, "embedded.port"),
        ({"port": 65536}, "embedded.port"),
        ({"data_dir": Path("/a,b")}, "embedded.data_dir"),
        ({"heap_mb": 64}, "embedded.heap_mb"),
        ({"properties": {"node.id": "2"}}, "embedded.properties.node.id"),
        ({"properties": {"listeners": "SSL://:1"}}, "embedded.properties.listeners"),
    ],
)
def test_what_cannot_work_is_refused_by_its_name(settings: dict[str, object], field: str) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        EmbeddedSettings(**{"data_dir": HERE, **settings})  # type: ignore[arg-type]  # hostile values, one at a time
    assert caught.value.field == field


def test_the_broker_listens_on_loopback_only() -> None:
    properties = server_properties(EmbeddedSettings(data_dir=HERE), 9092, 9093)
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert properties["log.dirs"] == "/data/logs"


def test_own_properties_win() -> None:
    settings = EmbeddedSettings(data_dir=HERE, properties={"offsets.topic.num.partitions": "50", "x": "y"})
    properties = server_properties(settings, 1, 2)
    assert (properties["offsets.topic.num.partitions"], properties["x"]) == ("50", "y")


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_properties_text_is_read_back_as_it_was(properties: dict[str, str]) -> None:
    """By the rules of java.util.Properties.load."""
    assert _java_load(properties_text(properties)) == properties


def _java_load(text: str) -> dict[str, str]:
    """A reader written after the javadoc of Properties.load, for what properties_text may produce."""
    assert text.isascii()
    found: dict[str, str] = {}
    for line in text.split("\n")[:-1]:
        assert "\r" not in line
        name, rest = _token(line.lstrip(" \t\f"), stop="=: \t\f")
        assert rest.startswith("=")
        value, rest = _token(rest[1:].lstrip(" \t\f"), stop="")
        assert not rest
        found[name] = value
    return found


def _token(text: str, stop: str) -> tuple[str, str]:
    units: list[int] = []
    at = 0
    while at < len(text) and text[at] not in stop:
        if text[at] != "\\":
            units.append(ord(text[at]))
            at += 1
        elif text[at + 1] == "u":
            units.append(int(text[at + 2 : at + 6], 16))
            at += 6
        else:
            units.append(ord({"n": "\n", "r": "\r", "t": "\t", "f": "\f"}.get(text[at + 1], text[at + 1])))
            at += 2
    decoded = b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be", "surrogatepass")
    return decoded, text[at:]


def test_a_member_of_a_cluster_has_its_own_identity_and_three_replicas() -> None:
    member = Member(node_id=2, controller_port=7, voters="1@127.0.0.1:5,2@127.0.0.1:7", cluster_id="c")
    properties = server_properties(EmbeddedSettings(data_dir=HERE, member=member), 9092, 9093)
    assert properties["node.id"] == "2"
    assert properties["controller.quorum.voters"] == member.voters
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:7"
    assert (properties["default.replication.factor"], properties["min.insync.replicas"]) == ("3", "2")
