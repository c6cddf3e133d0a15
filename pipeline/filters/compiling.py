"""Compiling: filter expressions, as declared, into a `Filter` that judges events.

Dialects of the CloudEvents Subscriptions API 0.1, §3.2.4: ``exact``, ``prefix``, ``suffix`` (objects of key to text,
all must match, case-sensitive), ``all``, ``any`` (non-empty lists of expressions) and ``not`` (one expression). A list
of filters holds when every one does; an empty list always does. A key an event does not have matches nothing. What
cannot be compiled is refused, never ignored.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from pipeline.errors import FilterInvalid, InputError
from pipeline.filters.keys import Facts, Key, key_of

Predicate: TypeAlias = Callable[[Facts], bool]

DEPTH_MAX = 16
EXPRESSIONS_MAX = 256
COMPARISONS_MAX = 1024
VALUE_CHARACTERS_MAX = 1024
_DIALECTS = ("exact", "prefix", "suffix", "all", "any", "not")


class Anchor(NamedTuple):
    """What must be so wherever a filter holds: the text at ``key`` is one of ``texts``. ``whole``: it holds then."""

    key: Key
    texts: frozenset[str]
    whole: bool


class Filter(NamedTuple):
    """``holds`` judges an event by its facts, in a time bounded by the limits here; it raises `InputError` where what
    decides cannot be read of the event. ``anchors``: see `Anchor`; none for what has no such condition.
    ``data_pointer``: where the data is looked into first, None: nowhere.
    """

    holds: Predicate
    anchors: tuple[Anchor, ...]
    data_pointer: str | None


def compile_filters(filters: Sequence[Mapping[str, Any]], *, field: str = "/filters") -> Filter:
    """What holds when all ``filters`` do. `FilterInvalid` names what is wrong by its JSON pointer."""
    if not isinstance(filters, list | tuple):
        raise FilterInvalid(field, filters, "a list of filter expressions")
    compiler = _Compiler()
    whole = _all_of([compiler.expression(one, f"{field}/{number}", 1) for number, one in enumerate(filters)])
    return Filter(_surely(whole) if whole.anchors else whole.holds, whole.anchors, compiler.data_pointer)


def check_no_avro(compiled: Filter, topics: Iterable[str], is_avro: Callable[[str], bool]) -> None:
    """Raises `FilterInvalid` when ``compiled`` looks into data and that of one of ``topics`` lies there in Avro."""
    avro = next((topic for topic in topics if is_avro(topic)), None)
    if compiled.data_pointer is not None and avro is not None:
        expected = f"an attribute or a header: data on topic {avro} lies there in Avro, which filters do not decode"
        raise FilterInvalid(compiled.data_pointer, compiled.data_pointer.rpartition("/")[2], expected)


def _surely(part: _Part) -> Predicate:
    """``part``, but what can be read decides before what cannot: so the order of looking things up does not matter."""
    holds, anchors = part

    def surely(facts: Facts) -> bool:
        try:
            return holds(facts)
        except InputError:
            if any(_fails(anchor, facts) for anchor in anchors):
                return False
            raise

    return surely


def _fails(anchor: Anchor, facts: Facts) -> bool:
    try:
        return facts.text(anchor.key) not in anchor.texts
    except InputError:
        return False


class _Part(NamedTuple):
    holds: Predicate
    anchors: tuple[Anchor, ...] = ()


class _Compiler:
    """Counts what it has seen, so that a filter costs a bounded time at every event."""

    def __init__(self) -> None:
        self._expressions = self._comparisons = 0
        self.data_pointer: str | None = None

    def expression(self, given: object, pointer: str, depth: int) -> _Part:
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
            return _all_of([_COMPARISONS[dialect](key, text) for key, text in self._pairs(argument, inner)])
        if dialect == "not":
            return _negation(self.expression(argument, inner, depth + 1))
        if dialect in ("all", "any"):
            return (_all_of if dialect == "all" else _any_of)(self._list(argument, inner, depth))
        raise FilterInvalid(inner, dialect, _known("dialect", dialect, _DIALECTS))

    def _list(self, argument: object, pointer: str, depth: int) -> list[_Part]:
        if not isinstance(argument, list | tuple) or not argument:
            raise FilterInvalid(pointer, argument, "a list of at least one filter expression")
        return [self.expression(one, f"{pointer}/{number}", depth + 1) for number, one in enumerate(argument)]

    def _pairs(self, argument: object, pointer: str) -> list[tuple[Key, str]]:
        if not isinstance(argument, Mapping) or not argument:
            raise FilterInvalid(
                pointer, argument, "an object of at least one attribute, header or path and the text to compare it with"
            )
        self._comparisons += len(argument)
        if self._comparisons > COMPARISONS_MAX:
            raise FilterInvalid(pointer, f"{len(argument)} attributes", f"at most {COMPARISONS_MAX} comparisons")
        return [self._pair(given, text, f"{pointer}/{_escaped(given)}") for given, text in argument.items()]

    def _pair(self, given: object, text: object, pointer: str) -> tuple[Key, str]:
        key = key_of(given, pointer)
        if not isinstance(text, str) or not 1 <= len(text) <= VALUE_CHARACTERS_MAX:
            raise FilterInvalid(pointer, text, f"a text of 1 to {VALUE_CHARACTERS_MAX} characters")
        if isinstance(key, tuple) and self.data_pointer is None:
            self.data_pointer = pointer
        return key, text


def _known(noun: str, given: object, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(str(given)[:64], known, n=1)
    return f"a {noun}: {', '.join(known)}" + (f" (did you mean {nearest[0]}?)" if nearest else "")


def _escaped(key: object) -> str:
    """One step of a JSON pointer (RFC 6901 §3), cut to what a message needs."""
    return str(key)[:64].replace("~", "~0").replace("/", "~1")


def _exact(key: Key, text: str) -> _Part:
    return _Part(lambda facts: facts.text(key) == text, (Anchor(key, frozenset((text,)), True),))


def _prefix(key: Key, text: str) -> _Part:
    return _Part(lambda facts: (facts.text(key) or "").startswith(text))


def _suffix(key: Key, text: str) -> _Part:
    return _Part(lambda facts: (facts.text(key) or "").endswith(text))


_COMPARISONS: Mapping[str, Callable[[Key, str], _Part]] = {"exact": _exact, "prefix": _prefix, "suffix": _suffix}


def _negation(inner: _Part) -> _Part:
    holds = inner.holds
    return _Part(lambda facts: not holds(facts))


def _all_of(parts: list[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    every = [part.holds for part in parts]
    anchors = tuple(anchor._replace(whole=False) for part in parts for anchor in part.anchors)
    return _Part(lambda facts: all(holds(facts) for holds in every), anchors)


def _any_of(parts: list[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    each = [part.holds for part in parts]
    return _Part(lambda facts: any(holds(facts) for holds in each), _common(parts))


def _common(parts: list[_Part]) -> tuple[Anchor, ...]:
    """The keys on which every one of ``parts`` has an anchor, with all their texts."""
    by_key = [{anchor.key: anchor for anchor in part.anchors} for part in parts]
    anchors = []
    for key in by_key[0]:
        those = [found[key] for found in by_key if key in found]
        if len(those) == len(parts):
            texts = frozenset().union(*(anchor.texts for anchor in those))
            anchors.append(Anchor(key, texts, all(anchor.whole for anchor in those)))
    return tuple(anchors)
