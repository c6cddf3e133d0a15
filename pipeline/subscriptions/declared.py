"""What somebody declares, checked as far as that needs no broker: keys, values, filters and the endpoint's address."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import DeclarationInvalid
from pipeline.filters import compile_filters
from pipeline.guard import Guard
from pipeline.subscription import Batch, Endpoint, RetryPolicy, Signing, Subscription, subscription_from

_PARTS = {"batch": Batch, "endpoint": Endpoint, "retry": RetryPolicy, "signing": Signing}


class DeclarationsInvalid(DeclarationInvalid):
    """Several faults at once; each of ``problems`` names its place."""

    def __init__(self, problems: Sequence[DeclarationInvalid]) -> None:
        first = problems[0]
        super().__init__(first.field, first.value, first.expected)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(str(one) for one in self.problems)


def check_declared(name: str, declared: Mapping[str, Any], guard: Guard) -> Subscription:
    """The subscription that ``declared`` is.

    Raises `DeclarationsInvalid` with every unknown key, `DeclarationInvalid`, `FilterInvalid`, or `AddressBlocked` when
    the text of the URL shows already that it may not be called.
    """
    if unknown := list(_unknown_keys(declared)):
        raise DeclarationsInvalid(unknown)
    if declared.get("name", name) != name:
        raise DeclarationInvalid("/name", declared["name"], f"{name}, as in the path, or absent")
    spec = subscription_from({**declared, "name": name})
    for number, topic in enumerate(spec.topics):
        if topic.startswith("_"):
            raise DeclarationInvalid(f"/topics/{number}", topic, "a topic that is not internal")
    if not (spec.signing.v1 or spec.signing.v1a or spec.signing.github):
        raise DeclarationInvalid("/signing", "none", "at least one of v1, v1a and github")
    compile_filters(spec.filters)
    guard.check_url(spec.endpoint.url)
    return spec


def _unknown_keys(declared: Mapping[str, Any]) -> Iterator[DeclarationInvalid]:
    yield from _unknown(declared, Subscription.__struct_fields__, "")
    for part, struct in _PARTS.items():
        if isinstance(inner := declared.get(part), Mapping):
            yield from _unknown(inner, struct.__struct_fields__, f"/{part}")


def _unknown(given: Mapping[str, Any], known: Sequence[str], pointer: str) -> Iterator[DeclarationInvalid]:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            expected = f"{near[0]}, which is near" if near else f"one of {', '.join(known)}"
            escaped = str(key).replace("~", "~0").replace("/", "~1")
            yield DeclarationInvalid(f"{pointer}/{escaped}", str(key), expected)
