"""Filters: which events a subscription wants, as predicates over CloudEvents attributes in their text form.

Dialects of the CloudEvents Subscriptions API 0.1, §3.2.4: ``exact``, ``prefix``, ``suffix`` (objects of attribute to
text, all must match, case-sensitive), ``all``, ``any`` (non-empty lists of expressions) and ``not`` (one expression). A
list of filters holds when every one does; an empty list always does. An attribute an event does not have matches
nothing. What cannot be compiled is refused, never ignored.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.errors import FilterInvalid

Predicate = Callable[[Mapping[str, str]], bool]

DEPTH_MAX = 16
EXPRESSIONS_MAX = 256
COMPARISONS_MAX = 1024
VALUE_CHARACTERS_MAX = 1024
_DIALECTS = ("exact", "prefix", "suffix", "all", "any", "not")
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}\Z")


def compile_filters(filters: Sequence[Mapping[str, Any]], *, field: str = "/filters") -> Predicate:
    """A predicate that holds when all ``filters`` do. `FilterInvalid` names what is wrong by its JSON pointer."""
    if not isinstance(filters, list | tuple):
        raise FilterInvalid(field, filters, "a list of filter expressions")
    compiler = _Compiler()
    return _all_of([compiler.expression(one, f"{field}/{number}", 1) for number, one in enumerate(filters)])


class _Compiler:
    """Counts what it has seen, so that a filter costs a bounded time at every event."""

    def __init__(self) -> None:
        self._expressions = self._comparisons = 0

    def expression(self, given: object, pointer: str, depth: int) -> Predicate:
        self._expressions += 1
        if self._expressions > EXPRESSIONS_MAX:
            raise FilterInvalid(pointer, "…", f"at most {EXPRESSIONS_MAX} expressions in one subscription")
        if depth > DEPTH_MAX:
            raise FilterInvalid(pointer, "…", f"at most {DEPTH_MAX} expressions inside each other")
        if not isinstance(given, Mapping) or len(given) != 1:
            raise FilterInvalid(pointer, given, 'one dialect and its argument, such as {"exact": {"type": "…"}}')
        [(dialect, argument)] = given.items()
        inner = f"{pointer}/{_escaped(dialect)}"
        if dialect in ("exact", "prefix", "suffix"):
            return _COMPARISONS[dialect](self._pairs(argument, inner))
        if dialect == "not":
            return _negation(self.expression(argument, inner, depth + 1))
        if dialect in ("all", "any"):
            return (_all_of if dialect == "all" else _any_of)(self._list(argument, inner, depth))
        raise FilterInvalid(inner, dialect, _known("dialect", dialect, _DIALECTS))

    def _list(self, argument: object, pointer: str, depth: int) -> list[Predicate]:
        if not isinstance(argument, list | tuple) or not argument:
            raise FilterInvalid(pointer, argument, "a list of at least one filter expression")
        return [self.expression(one, f"{pointer}/{number}", depth + 1) for number, one in enumerate(argument)]

    def _pairs(self, argument: object, pointer: str) -> list[tuple[str, str]]:
        if not isinstance(argument, Mapping) or not argument:
            raise FilterInvalid(
                pointer, argument, "an object of at least one attribute and the text to compare it with"
            )
        self._comparisons += len(argument)
        if self._comparisons > COMPARISONS_MAX:
            raise FilterInvalid(pointer, f"{len(argument)} attributes", f"at most {COMPARISONS_MAX} comparisons")
        for name, value in argument.items():
            at = f"{pointer}/{_escaped(name)}"
            if not isinstance(name, str) or not _ATTRIBUTE.match(name):
                raise FilterInvalid(at, name, "a CloudEvents attribute: 1 to 64 lower-case letters and digits")
            if not isinstance(value, str) or not 1 <= len(value) <= VALUE_CHARACTERS_MAX:
                raise FilterInvalid(at, value, f"a text of 1 to {VALUE_CHARACTERS_MAX} characters")
        return list(argument.items())


def _known(noun: str, given: object, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(str(given)[:64], known, n=1)
    return f"a {noun}: {', '.join(known)}" + (f" (did you mean {nearest[0]}?)" if nearest else "")


def _escaped(key: object) -> str:
    """One step of a JSON pointer (RFC 6901 §3), cut to what a message needs."""
    return str(key)[:64].replace("~", "~0").replace("/", "~1")


def _exact(pairs: list[tuple[str, str]]) -> Predicate:
    if len(pairs) == 1:
        [(name, value)] = pairs
        return lambda attributes: attributes.get(name) == value
    return lambda attributes: all(attributes.get(name) == value for name, value in pairs)


def _prefix(pairs: list[tuple[str, str]]) -> Predicate:
    return lambda attributes: all(attributes.get(name, "").startswith(value) for name, value in pairs)


def _suffix(pairs: list[tuple[str, str]]) -> Predicate:
    return lambda attributes: all(attributes.get(name, "").endswith(value) for name, value in pairs)


_COMPARISONS: Mapping[str, Callable[[list[tuple[str, str]]], Predicate]] = {
    "exact": _exact,
    "prefix": _prefix,
    "suffix": _suffix,
}


def _negation(inner: Predicate) -> Predicate:
    return lambda attributes: not inner(attributes)


def _all_of(inner: list[Predicate]) -> Predicate:
    if len(inner) == 1:
        return inner[0]
    return lambda attributes: all(predicate(attributes) for predicate in inner)


def _any_of(inner: list[Predicate]) -> Predicate:
    return lambda attributes: any(predicate(attributes) for predicate in inner)
