"""``pipeline secrets``: the secrets of all subscriptions, as they lie at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.options import AsJson, Where, grouped
from pipeline.cli.running import who, with_node
from pipeline.cli.show import show_rows

if TYPE_CHECKING:
    from pipeline.wiring import Node

secrets = typer.Typer(help="Secrets at rest: sealed again under a new key.", no_args_is_help=True)


def register(program: typer.Typer) -> None:
    program.add_typer(secrets, name="secrets")


# A callback keeps `rewrap` a word of its own while it is the only command of its group.
@secrets.callback()
def _group() -> None:
    """Secrets at rest: sealed again under a new key."""


@secrets.command("rewrap")
@grouped
def rewrap(where: Where, as_json: AsJson = False) -> None:
    """Seal all secrets again under the newest key.

    When every subscription's are, the older keys may go.

    Put the new key first in `secrets.keys` (or the key file), restart gateways and bridges, then run this.
    """

    async def work(node: Node) -> list[dict[str, Any]]:
        names = [row.spec.name for row, _ in node.subscriptions.list()]
        return [{"name": one, "rewrapped": await node.subscriptions.secrets.rewrap(one, who=who())} for one in names]

    rows = with_node(where, work)
    show_rows(rows, ("name", "rewrapped"), as_json=as_json, empty="no subscriptions")
