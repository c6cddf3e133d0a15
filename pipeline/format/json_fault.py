"""Finds the first place where a text is not strict JSON, as a JSON pointer; used only once a check has failed.

A walk over tokens with a stack of its own: no recursion, so no nesting can break it.
"""

from __future__ import annotations

import re
from math import isinf
from typing import NamedTuple

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_NO_CONSTANT = re.compile(r"NaN|-?Infinity")
_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt])|u([0-9a-fA-F]{4}))')
_LONE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_NO_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^\[\]{}"]+', re.DOTALL)
_PLAIN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Fault(NamedTuple):
    pointer: str
    shown: str
    expected: str


def too_deep(text: str, depth_max: int) -> bool:
    """Whether arrays and objects of a JSON text lie more than ``depth_max`` deep, brackets inside strings not counted.

    Takes the innermost pairs away once per level, so a hostile text costs at most ``depth_max`` passes over its
    brackets. What does not balance counts as too deep.
    """
    if text.count("[") + text.count("{") <= depth_max:
        return False
    brackets = _NO_BRACKETS.sub("", text).replace("{", "[").replace("}", "]")
    for _ in range(depth_max):
        if not brackets:
            return False
        brackets = brackets.replace("[]", "")
    return bool(brackets)


def find_fault(text: str, depth_max: int) -> Fault | None:
    """The first fault in reading order, or None when the text is strict JSON."""
    try:
        _Walk(text, depth_max).document()
    except _FaultFound as found:
        return found.fault
    return None


class _FaultFound(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.expected)
        self.fault = fault


class _Level:
    """One open array or object: where we are in it."""

    __slots__ = ("names", "step")

    def __init__(self, *, is_object: bool) -> None:
        self.names: set[str] | None = set() if is_object else None
        self.step: str | int | None = None if is_object else 0


class _Walk:
    def __init__(self, text: str, depth_max: int) -> None:
        self._text, self._depth_max = text, depth_max
        self._at = 0
        self._open: list[_Level] = []

    def document(self) -> None:
        done = False
        while not done:
            opened = self._value()
            if opened and not self._closes_at_once():
                continue
            done = self._after_value()
        if self._peek():
            raise self._fault("nothing after the end of the document")

    def _value(self) -> bool:
        """Reads one value; True when it opened an array or object whose first member comes next."""
        char = self._peek()
        if char and char in "[{":
            self._at += 1
            if len(self._open) == self._depth_max:
                raise self._fault(f"at most {self._depth_max} arrays and objects inside each other", char)
            self._open.append(_Level(is_object=char == "{"))
            return True
        if char == '"':
            self._string("a string")
        elif match := _NUMBER.match(self._text, self._at):
            self._number(match)
        elif match := _WORD.match(self._text, self._at):
            self._at = match.end()
        elif match := _NO_CONSTANT.match(self._text, self._at):
            raise self._fault("a finite number (JSON has no NaN and no Infinity)", match[0])
        else:
            raise self._fault("a JSON value")
        return False

    def _closes_at_once(self) -> bool:
        if self._peek() == ("]" if self._open[-1].names is None else "}"):
            return True
        if self._open[-1].names is not None:
            self._name()
        return False

    def _after_value(self) -> bool:
        """Reads what follows a value: a comma, or closing brackets; True when the document is over."""
        while self._open:
            level, char = self._open[-1], self._peek()
            if char == ",":
                self._at += 1
                if level.names is None:
                    assert isinstance(level.step, int)
                    level.step += 1
                else:
                    self._name()
                return False
            close = "]" if level.names is None else "}"
            if char != close:
                raise self._fault(f"a comma or {close}")
            self._at += 1
            self._open.pop()
        return True

    def _name(self) -> None:
        level = self._open[-1]
        if self._peek() != '"':
            raise self._fault("a name in double quotes")
        name = self._string("a name")
        assert level.names is not None
        level.step = name
        if name in level.names:
            raise self._fault("each name once in an object", name)
        level.names.add(name)
        if self._peek() != ":":
            raise self._fault("a colon after the name")
        self._at += 1

    def _string(self, noun: str) -> str:
        match = _STRING.match(self._text, self._at)
        if match is None:
            raise self._fault(f"{noun} that ends, with control characters escaped and no other escapes than JSON's")
        self._at = match.end()
        plain = _PAIR.sub(_joined, _ESCAPE.sub(_unescaped, match[1]))
        if _LONE.search(plain):
            raise self._fault(f"{noun} without lone surrogates", match[0])
        return plain

    def _number(self, match: re.Match[str]) -> None:
        digits = match[0]
        if match[1] is None and match[2] is None:
            if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
                raise self._fault("an integer of 64 bits; send larger numbers as strings", digits)
        elif isinf(float(digits)):
            raise self._fault("a number that fits double precision", digits)
        self._at = match.end()

    def _peek(self) -> str:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _fault(self, expected: str, shown: str | None = None) -> _FaultFound:
        steps = (
            str(level.step).replace("~", "~0").replace("/", "~1") for level in self._open if level.step is not None
        )
        pointer = "".join(f"/{step}" for step in steps)
        if shown is None:
            shown = self._text[self._at : self._at + 20] or "the end"
        return _FaultFound(Fault(pointer, shown[:80], expected))


def _unescaped(match: re.Match[str]) -> str:
    if match[2]:
        return chr(int(match[2], 16))
    return _PLAIN.get(match[1], match[1])


def _joined(match: re.Match[str]) -> str:
    high, low = ord(match[1]) - 0xD800, ord(match[2]) - 0xDC00
    return chr(0x10000 + (high << 10) + low)
