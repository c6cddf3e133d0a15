"""Applying declarations: topics, schemas and subscriptions from files, at the start of `pipeline dev` and by their
verbs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.topics.apply import apply, read_live
from pipeline.topics.plan import Allowed, Plan, Step, plan

if TYPE_CHECKING:
    from pipeline.wiring import Node

Row = dict[str, Any]
_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


async def plan_topics(node: Node, allowed: Allowed | None = None) -> Plan:
    """What it takes to make the broker's topics as declared; ``allowed`` widens it beyond the safe changes."""
    return plan(node.declared.values(), await read_live(node.admin, node.declared.values()), allowed)


async def apply_topics(node: Node, allowed: Allowed | None = None, *, who: str | None = None) -> Plan:
    """Register the schemas, create missing topics, make the safe changes; what is refused is in the plan returned.

    Each change done goes into the audit.
    """

    def tell(step: Step) -> None:
        what = "topic-created" if step.act == "create" else "topic-changed"
        node.audit.tell(what, step.topic, who=who, member=step.field, before=step.before, after=step.after)

    made = await plan_topics(node, allowed)
    for subject, schema in node.schemas.items():
        await node.registry.register(subject, schema)
    await apply(node.admin, made, tell)
    for step in made.steps:
        node.catalog.forget(step.topic)
    return made


async def plan_subscriptions(node: Node, file: Path | None = None) -> list[Row]:
    """What applying would do to each declared subscription, and, for the folder, those that no file declares."""
    rows: list[Row] = []
    for name, declared in _declared(node, file):
        planned = node.subscriptions.plan(name, declared)
        rows.append({"name": name, "change": planned.change, "differences": planned.differences})
    if file is None:
        names = {row["name"] for row in rows}
        others = [row.spec.name for row, _ in node.subscriptions.list() if row.spec.name not in names]
        rows += [{"name": name, "change": "not declared", "differences": []} for name in others]
    return rows


async def apply_subscriptions(node: Node, file: Path | None = None, *, who: str | None = None) -> list[Row]:
    """Put every declared subscription; one row each: name, change, differences, and the secret where one was made."""
    return [await _put(node, name, declared, who) for name, declared in _declared(node, file)]


async def created(node: Node, name: str, declared: Mapping[str, Any], *, who: str) -> Row:
    """Make it. Raises `Conflict` when it is there already."""
    if any(row.spec.name == name for row, _ in node.subscriptions.list()):
        raise Conflict(f"subscription {name} is there already; `pipeline subs edit` changes it")
    return await _put(node, name, declared, who, only_new=True)


async def edited(node: Node, name: str, members: Sequence[str], unset: Sequence[str], *, who: str | None) -> Row:
    """Change ``members`` of it and put ``unset`` back to their defaults; only planned without ``who``."""
    row, version = node.subscriptions.get(name)
    declared = with_members(msgspec.to_builtins(row.spec), members)
    for path in unset:
        holder, last = _holder(declared, path)
        if last not in holder:
            raise DeclarationInvalid("--unset", path, "a member it has; `pipeline subs show` shows them as `spec`")
        del holder[last]
    if who is not None:
        return await _put(node, name, declared, who, if_match=str(version))
    planned = node.subscriptions.plan(name, declared)
    return {"name": name, "change": planned.change, "differences": planned.differences}


def with_members(declared: dict[str, Any], members: Sequence[str]) -> dict[str, Any]:
    """``declared`` with each ``member.inner=value`` set; values are JSON, or text where they are none, and may
    name variables as files do: secrets belong on no command line.
    """
    for text in members:
        path, equals, value = text.partition("=")
        if not equals:
            raise DeclarationInvalid("--set", path, "MEMBER=VALUE, as retry.give_up_after_s=60")
        holder, last = _holder(declared, path)
        try:
            given = msgspec.json.decode(value)
        except msgspec.DecodeError:
            given = value
        holder[last] = _filled(given, os.environ, "--set", "/" + path.replace(".", "/"))
    return declared


def _holder(declared: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Where the last step of a dotted path lies; what is missing on the way is made."""
    holder = declared
    *steps, last = path.split(".")
    for step in steps:
        inner = holder.setdefault(step, {})
        if not isinstance(inner, dict):
            raise DeclarationInvalid("--set", path, f"a member that has members; {step} has none")
        holder = inner
    return holder, last


async def _put(
    node: Node,
    name: str,
    declared: Mapping[str, Any],
    who: str | None,
    *,
    if_match: str | None = None,
    only_new: bool = False,
) -> Row:
    planned = node.subscriptions.plan(name, declared)
    outcome = await node.subscriptions.put(name, declared, if_match, only_new=only_new, who=who)
    shown = outcome.shown
    row: Row = {"name": name, "change": planned.change, "differences": planned.differences, "secret": shown.secret}
    return row if shown.public_key is None else {**row, "public_key": shown.public_key}


def _declared(node: Node, file: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and declaration of each file, variables filled in."""
    folder = node.config.path(node.settings.files.subscriptions)
    for one in [file] if file is not None else sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        declared = dict(load_subscription(one, os.environ))
        yield str(declared.pop("name", one.stem)), declared


def load_subscription(file: Path, environment: Mapping[str, str]) -> Mapping[str, Any]:
    """The mapping a subscription's file holds, each ``${NAME}`` in it replaced by that variable's value.

    ``$${`` stands for ``${``. Raises `DeclarationInvalid` naming the file, and the key and variable where one is not
    set.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        # The mark says where; the text around it may be a secret.
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark is not None else "unreadable"
        raise DeclarationInvalid(str(file), where, f"a readable YAML file ({getattr(error, 'problem', '')})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationInvalid(str(file), type(error).__name__, "a readable YAML file") from None
    if not isinstance(document, dict):
        raise DeclarationInvalid(str(file), type(document).__name__, "a mapping with topics and endpoint")
    filled: Mapping[str, Any] = _filled(document, environment, str(file), "")
    return filled


def _filled(value: Any, environment: Mapping[str, str], file: str, pointer: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, environment, file, f"{pointer}/{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, environment, file, f"{pointer}/{number}") for number, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def one(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        if found[1] not in environment:
            raise DeclarationInvalid(f"{file}: {pointer}", found[0], f"the environment variable {found[1]} to be set")
        return environment[found[1]]

    return _VARIABLE.sub(one, value)
