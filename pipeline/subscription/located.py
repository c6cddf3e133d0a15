"""What msgspec says of a declaration, as an error that names the place by its JSON pointer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from pipeline.errors import DeclarationInvalid

_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING_KEY = re.compile(r"Object missing required field `(.*)`\Z")
# Of an endpoint's auth, whatever its kind: what is declared for one kind may stand under another by mistake.
_SECRET_FIELDS = frozenset({"token", "password", "client_secret", "private_key", "certificate"})
# What msgspec calls the kinds of a value, in words for people who write YAML and JSON.
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "nothing",
}


def located(message: str, mapping: Mapping[str, Any], root: type[msgspec.Struct]) -> DeclarationInvalid:
    """msgspec's message (``Expected `int`, got `str` - at `$.topics[0]` ``) on ``mapping`` as an error that names the
    place. ``root`` is what the mapping was to become.
    """
    problem, _, path = message.partition(" - at ")
    steps: list[str] = re.findall(r"[^.\[\]]+|\.\.\.", path.strip("`$"))
    if unknown := _UNKNOWN_KEY.match(problem):
        kind = _kind_at(root, mapping, steps)
        known = kind.__struct_encode_fields__
        nearest = difflib.get_close_matches(unknown[1][:64], known, n=1)
        hint = f" (did you mean {nearest[0]}?)" if nearest else ""
        return DeclarationInvalid(pointer([*steps, unknown[1]]), unknown[1], f"one of {', '.join(known)}{hint}")
    if missing := _MISSING_KEY.match(problem):
        return DeclarationInvalid(pointer([*steps, missing[1]]), "absent", f"the required key {missing[1]}")
    value, steps = _found(mapping, steps)
    if problem.startswith("Invalid enum value"):
        choices = get_args(get_type_hints(_kind_at(root, mapping, steps[:-1]))[steps[-1]])
        return DeclarationInvalid(pointer(steps), value, f"one of {', '.join(choices)}")
    if problem.startswith("Invalid value"):
        union = get_type_hints(_kind_at(root, mapping, steps[:-2]))[steps[-2]]
        return DeclarationInvalid(pointer(steps), value, f"one of {', '.join(_tags(union))}")
    if value is not None and _may_be_secret(steps):
        value = "(hidden)"
    wanted = problem.partition(", got")[0].removeprefix("Expected ").replace("`", "")
    return DeclarationInvalid(pointer(steps), value, " or ".join(_WORDS.get(w, w) for w in wanted.split(" | ")))


def _may_be_secret(steps: list[str]) -> bool:
    """Whether what stands at ``steps`` may be, or hold, a credential in a wrong form (``"token": 3``)."""
    if "endpoint" not in steps:
        return False
    inner = steps[steps.index("endpoint") + 1 :]
    if not inner or inner[0] in ("headers", "secret_headers"):
        return True
    return inner[0] == "auth" and (len(inner) == 1 or inner[1] in _SECRET_FIELDS)


def _kind_at(root: type[msgspec.Struct], mapping: Mapping[str, Any], steps: list[str]) -> type[msgspec.Struct]:
    """The struct that ``steps`` lead to; in a tagged union, the one the value names."""
    kind: Any = root
    value: Any = mapping
    for step in steps:
        inner = get_type_hints(kind).get(step)
        value = value.get(step, {}) if isinstance(value, Mapping) else {}
        if get_origin(inner) in (Union, UnionType):
            named = value.get("kind") if isinstance(value, Mapping) else None
            inner = next((one for one in get_args(inner) if _tag(one) == named), get_args(inner)[0])
        if not (isinstance(inner, type) and issubclass(inner, msgspec.Struct)):
            break
        kind = inner
    found: type[msgspec.Struct] = kind
    return found


def _tag(kind: Any) -> object:
    config = getattr(kind, "__struct_config__", None)
    return None if config is None else config.tag


def _tags(union: Any) -> list[str]:
    return [str(_tag(one)) for one in get_args(union)]


def _found(mapping: Mapping[str, Any], steps: list[str]) -> tuple[Any, list[str]]:
    """The value that ``steps`` lead to, and the steps; msgspec writes ``...`` for the key of a table of texts."""
    value: Any = mapping
    taken = []
    for step in steps:
        if isinstance(value, Mapping):
            texts = value.items() if step == "..." else ()
            taken.append(next((str(key) for key, inner in texts if not isinstance(inner, str)), step))
            value = value.get(taken[-1])
        else:
            taken.append(step)
            value = value[int(step)]
    return value, taken


def pointer(steps: list[str]) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps) or "/"
