"""Every fault of a declaration, not only the first: what is wrong is noted, put aside, and the rest looked at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import AddressBlocked, DeclarationInvalid, FilterInvalid, InputError
from pipeline.subscription import Subscription, subscription_from

# Beyond this many faults the rest is not looked for.
FAULTS_MAX = 50
# How deep below the declaration a value is put aside: an entry of a list of a part.
COPIED_DEPTH = 4
# What stands in for a required value that is wrong, by its last step, so that the others can be judged.
_STAND_INS: Mapping[str, Any] = {
    "topics": ["stand-in"],
    "endpoint": {"url": "https://stand-in.invalid/"},
    "url": "https://stand-in.invalid/",
    "token_url": "https://stand-in.invalid/",
    "username": "stand-in",
    "client_id": "stand-in",
    "certificate": "-----BEGIN CERTIFICATE-----",
}
# Below these a value may be a secret: it is not repeated in an error.
_HIDDEN = ("/endpoint/auth", "/endpoint/headers", "/endpoint/secret_headers")


class DeclarationsInvalid(DeclarationInvalid):
    """Several faults at once; each of ``problems`` names its place."""

    def __init__(self, problems: Sequence[InputError]) -> None:
        first = problems[0]
        super().__init__(first.field, first.value, first.expected)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(str(one) for one in self.problems)


class FiltersInvalid(FilterInvalid):
    """Several faults of filters; each of ``problems`` names its place."""

    def __init__(self, problems: Sequence[InputError]) -> None:
        first = problems[0]
        super().__init__(first.field, first.value, first.expected)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(str(one) for one in self.problems)


class EndpointBlocked(AddressBlocked):
    """Addresses that may not be called, with the pointers of where they were declared; ``problems`` names each."""

    def __init__(self, blocked: Sequence[tuple[str, AddressBlocked]]) -> None:
        first = blocked[0][1]
        super().__init__(first.host, first.address, first.rule)
        self.problems = as_faults(blocked)


def as_faults(blocked: Sequence[tuple[str, AddressBlocked]]) -> tuple[DeclarationInvalid, ...]:
    return tuple(
        DeclarationInvalid(pointer, f"{one.host} ({one.address})", f"an address that may be called; it is {one.rule}")
        for pointer, one in blocked
    )


def hidden(fault: DeclarationInvalid) -> DeclarationInvalid:
    """``fault`` without the value it is about, where that could be a secret."""
    if fault.field == "/endpoint" or fault.field.startswith(_HIDDEN):
        return DeclarationInvalid(fault.field, "(hidden)", fault.expected)
    return fault


def judged(name: str, declared: Mapping[str, Any]) -> tuple[Subscription, list[InputError]]:
    """The subscription ``declared`` is, with stand-ins where it is wrong, and the faults."""
    faults: list[InputError] = []
    rest = _copied({**declared, "name": name}, COPIED_DEPTH)
    while True:
        try:
            return subscription_from(rest), faults
        except DeclarationInvalid as fault:
            steps = _steps(fault.field)
            if fault.field in {one.field for one in faults}:
                steps = steps[:1]  # putting the value aside did not help: put aside the whole of it
            else:
                faults.append(hidden(fault))
            if len(faults) >= FAULTS_MAX or not steps:
                raise DeclarationsInvalid(faults) from None
            _put_aside(rest, steps)


def raise_all(faults: Sequence[InputError], blocked: Sequence[tuple[str, AddressBlocked]]) -> None:
    """Raise what says all of it: `FiltersInvalid` or `EndpointBlocked` where it is only that; nothing without any."""
    if not faults and not blocked:
        return
    if not blocked and all(isinstance(one, FilterInvalid) for one in faults):
        raise FiltersInvalid(faults)
    if not faults:
        raise EndpointBlocked(blocked)
    raise DeclarationsInvalid([*faults, *as_faults(blocked)])


def _copied(value: Any, depth: int) -> Any:
    """A copy as deep as values are put aside; below that, which may nest without end, the same."""
    if depth and isinstance(value, dict):
        return {key: _copied(inner, depth - 1) for key, inner in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_copied(inner, depth - 1) for inner in value]
    return value


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:] if step]


def _put_aside(declared: dict[str, Any], steps: Sequence[str]) -> None:
    """Take the value at ``steps`` out of ``declared``, or stand in for it where it is required."""
    if steps[-1] == "kind":
        steps = steps[:-1]
    holder: Any = declared
    for step in steps[:-1]:
        inner = holder[int(step)] if isinstance(holder, list) and step.isdigit() else holder.get(step)
        if not isinstance(inner, dict | list):
            return
        holder = inner
    last = steps[-1]
    if isinstance(holder, list):
        if steps[0] == "topics":
            holder[int(last)] = f"stand-in-{last}"
        else:
            del holder[int(last)]
    elif last in _STAND_INS:
        holder[last] = _copied(_STAND_INS[last], COPIED_DEPTH)
    else:
        holder.pop(next((key for key in holder if str(key).lower() == last.lower()), last), None)
