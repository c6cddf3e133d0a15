"""What a declaration would change, member by member."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pipeline.subscription import Subscription

HIDDEN = "(hidden)"
ABSENT = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One member, by its JSON pointer; a secret that would change is told without either value."""

    pointer: str
    before: Any
    after: Any


def differences(before: Subscription, after: Subscription, changed_secrets: list[str]) -> list[Difference]:
    """In the order of the declaration's members; secrets (by pointer) last."""
    found = list(_between(_as_json(before), _as_json(after), ""))
    return found + [Difference(pointer=one, before=HIDDEN, after=HIDDEN) for one in changed_secrets]


def _as_json(spec: Subscription) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(spec))
    return members


def _between(before: Mapping[str, Any], after: Mapping[str, Any], pointer: str) -> Iterator[Difference]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, ABSENT), after.get(name, ABSENT)
        at = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _between(old, new, at)
        elif old != new:
            yield Difference(pointer=at, before=old, after=new)
