"""Which dead letters a command is about: its options, and the letters they select."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import SubscriptionNotFound, TopicNotFound

if TYPE_CHECKING:
    from pipeline.redrive import FiledLetter, Selection
    from pipeline.wiring import Node

LETTERS_MAX = 1_000_000
LetterId = Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it.")]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", metavar="REASON", help="Only this reason; may be repeated.")
]
Statuses = Annotated[
    list[int] | None, typer.Option("--status", metavar="STATUS", help="Only this HTTP status; may be repeated.")
]
Keys = Annotated[list[str] | None, typer.Option("--key", metavar="KEY", help="Only this key; may be repeated.")]
Types = Annotated[
    list[str] | None, typer.Option("--type", metavar="TYPE", help="Only this CloudEvents type; may be repeated.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Failed last no earlier: an RFC 3339 time with a zone."),
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="ID", help="Only this dead letter, or its event's id or webhook id; may be repeated."),
]


@dataclasses.dataclass(frozen=True)
class Selected:
    """What narrows a command to some dead letters; nothing given is all of them."""

    reasons: Reasons = None
    statuses: Statuses = None
    keys: Keys = None
    types: Types = None
    since: Since = None
    ids: Ids = None

    def selection(self) -> Selection:
        """Raises `DeclarationInvalid` about a reason, status or time there cannot be."""
        from pipeline.redrive import Selection  # noqa: PLC0415 - keeps --help quick

        return Selection(
            reasons=tuple(self.reasons or ()),
            statuses=tuple(self.statuses or ()),
            keys=tuple(self.keys or ()),
            types=tuple(self.types or ()),
            since=self.since,
            ids=tuple(self.ids or ()),
        )


async def letters_of(node: Node, name: str, select: Selection | None = None) -> AsyncIterator[FiledLetter]:
    """Every dead letter of a subscription, also of one that is deleted. Raises `SubscriptionNotFound`."""
    try:
        async for filed in node.dead_letters.all(name, LETTERS_MAX, select):
            yield filed
    except TopicNotFound:
        raise SubscriptionNotFound(name) from None


async def newest(node: Node, name: str, letter_id: str) -> FiledLetter:
    """The letter of that id that lies last: an event that died again, or was edited, has several."""
    select = Selected(ids=[letter_id]).selection()
    found = [filed async for filed in letters_of(node, name, select)]
    if not found:
        raise typer.BadParameter(f"{name} has no dead letter {letter_id!r}; `pipeline dlq list {name}` shows them")
    return max(found, key=lambda filed: (filed.is_open, filed.place))
