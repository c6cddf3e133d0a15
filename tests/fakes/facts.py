"""GivenFacts: facts of an event that a test states."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pipeline.errors import EventInvalid
from pipeline.filters import Key


class GivenFacts:
    """``texts`` by key; ``unreadable`` keys raise. ``asked`` lists what was looked up."""

    def __init__(self, texts: Mapping[Any, str], unreadable: Set[Any] = frozenset()) -> None:
        self._texts, self._unreadable = texts, unreadable
        self.asked: list[Key] = []

    def text(self, key: Key) -> str | None:
        self.asked.append(key)
        if key in self._unreadable:
            raise EventInvalid(str(key), "bytes", "something that can be read")
        return self._texts.get(key)
