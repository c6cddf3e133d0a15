"""Applying declarations: topics, schemas and subscriptions from files, at the start of `pipeline dev` and by their
verbs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.errors import DeclarationInvalid
from pipeline.topics.apply import apply, read_live
from pipeline.topics.plan import Allowed, Plan, plan

if TYPE_CHECKING:
    from pipeline.wiring import Node


async def plan_topics(node: Node, allowed: Allowed | None = None) -> Plan:
    """What it takes to make the broker's topics as declared; ``allowed`` widens it beyond the safe changes."""
    return plan(node.declared.values(), await read_live(node.admin, node.declared.values()), allowed)


async def apply_topics(node: Node, allowed: Allowed | None = None) -> Plan:
    """Register the schemas, create missing topics, make the safe changes; what is refused is in the plan returned."""
    made = await plan_topics(node, allowed)
    for subject, schema in node.schemas.items():
        await node.registry.register(subject, schema)
    await apply(node.admin, made)
    for step in made.steps:
        node.catalog.forget(step.topic)
    return made


async def apply_subscriptions(node: Node, file: Path | None = None) -> list[dict[str, Any]]:
    """Put every declared subscription; one row each: name, change, and the secret where one was made."""
    folder = node.config.path(node.settings.files.subscriptions)
    files = [file] if file is not None else sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    store, rows = node.subscriptions, []
    for one in files:
        declared = dict(load_subscription(one))
        name = str(declared.pop("name", one.stem))
        before = {row.spec.name: version for row, version in store.list()}.get(name)
        outcome = await store.put(name, declared)
        change = "created" if outcome.created else "unchanged" if outcome.version == before else "changed"
        rows.append({"name": name, "change": change, "secret": outcome.shown.secret})
    return rows


def load_subscription(file: Path) -> Mapping[str, Any]:
    """The mapping a subscription's file holds. Raises `DeclarationInvalid` naming the file."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeclarationInvalid(str(file), " ".join(str(error).split()), "a readable YAML file") from None
    if not isinstance(document, dict):
        raise DeclarationInvalid(str(file), document, "a mapping with topics and endpoint")
    return document
