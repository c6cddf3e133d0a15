"""The command line over parts in memory: what it prints, what it says on standard error, how it ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline import wiring
from pipeline.cli.program import run
from pipeline.config import Config
from pipeline.errors import BrokerUnavailable
from pipeline.topic import Topic
from tests.fakes.house import KEYRING, GatewayHouse


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class FakeNode:
    """What `pipeline.wiring.Node` offers to commands, over a `GatewayHouse`."""

    def __init__(self, house: GatewayHouse, config: Config) -> None:
        self.config, self.settings, self.keyring = config, config.settings, KEYRING
        self.subscriptions, self.cursors, self.runs = house.subscriptions, house.cursors, house.runs
        self.redrives, self.replays, self.dead_letters = house.redrives, house.replays, house.letters
        self.discards, self.edits, self.write_backs = house.discards, house.edits, house.write_backs
        self.parked_keys = house.parked_keys
        self.reader, self.view, self.admin, self.offsets = house.reader, house.view, house.admin, house.offsets
        self.catalog, self.attempts = house.catalog, house.parts.attempts
        self.resets, self.trials, self.audit = house.resets, house.trials, house.audit
        self.declared: dict[str, Topic] = {}
        self.schemas: dict[str, str] = {}


class Program:
    """Runs commands in ``folder`` against ``house``; ``down`` is a Kafka that does not answer."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.house = GatewayHouse()
        self.down = False
        self.declared: dict[str, Topic] = {}

    @contextlib.asynccontextmanager
    async def started(self, config: Config) -> AsyncIterator[FakeNode]:
        if self.down:
            raise BrokerUnavailable("_TRANSPORT: 1/1 brokers are down")
        node = FakeNode(self.house, config)
        node.declared = self.declared
        yield node

    def __call__(self, *words: str) -> Ended:
        self._capsys.readouterr()
        status = run(list(words))
        printed = self._capsys.readouterr()
        return Ended(status, printed.out, printed.err)


@pytest.fixture
def program(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    made = Program(tmp_path, capsys)
    monkeypatch.setattr(wiring, "started", made.started)
    monkeypatch.chdir(tmp_path)
    for name in ("PIPELINE_BOOTSTRAP_SERVERS", "PIPELINE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return made
