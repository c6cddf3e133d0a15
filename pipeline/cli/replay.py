"""``pipeline replay``: deliver a window of history to a subscription again, beside its live delivery."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import run_verbs
from pipeline.cli.options import READABLE, AllowClamp, AsJson, Name, Rate, Wait, Where, grouped
from pipeline.cli.run_verbs import CHANGES, begun
from pipeline.cli.running import plain, who, with_node
from pipeline.cli.show import safe, show_one, show_rows

if TYPE_CHECKING:
    from pipeline.replay import ReplayAsked, ReplayPlan
    from pipeline.wiring import Node

replay = typer.Typer(help="Replays: plan, run; and redrives: list, pause, cancel.", no_args_is_help=True)
run_verbs.register(replay)
BEGINNINGS = "--from, --from-offset, --from-duration, --shift, --from-file"
COLUMNS = ("topic", "partition", "first", "until", "count", "first_at", "last_at", "clamped")

Start = Annotated[
    str | None, typer.Option("--from", metavar="WHERE", help="earliest, a cursor, or an RFC 3339 time with a zone.")
]
Until = Annotated[
    str, typer.Option("--until", metavar="WHERE", help="latest (frozen now), a cursor, or an RFC 3339 time.")
]
FromOffset = Annotated[
    list[str] | None,
    typer.Option(metavar="OFFSET", help="An offset for every partition, or TOPIC/PARTITION=OFFSET; may be repeated."),
]
UntilOffset = Annotated[list[str] | None, typer.Option(metavar="OFFSET", help="The same for the end, exclusive.")]
FromDuration = Annotated[str | None, typer.Option(metavar="SPAN", help="So long ago: PT2H30M, 90m, 7d.")]
Shift = Annotated[
    int | None, typer.Option(metavar="OFFSETS", help="So many offsets from what is committed; negative goes back.")
]
FromFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Kafka's CSV: topic,partition,offset in each line.", **READABLE)
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", metavar="ID", help="Only this webhook id or event id; may be repeated.")
]
Filters = Annotated[
    list[str] | None, typer.Option("--filter", metavar="JSON", help="A filter expression in JSON; all must hold.")
]
Shadow = Annotated[
    str | None, typer.Option(metavar="URL", help="Deliver to this URL instead, signed the same; no dead letters.")
]


@dataclasses.dataclass(frozen=True)
class Window:
    """Which events a replay delivers, where to, and how fast."""

    start: Start = None
    until: Until = "latest"
    from_offset: FromOffset = None
    until_offset: UntilOffset = None
    from_duration: FromDuration = None
    shift: Shift = None
    from_file: FromFile = None
    only: Ids = None
    filters: Filters = None
    shadow: Shadow = None
    rate: Rate = None
    allow_clamp: AllowClamp = False

    def has_beginning(self) -> bool:
        """Whether it says where to begin; ids do, for they are places."""
        given = (self.start, self.from_offset, self.from_duration, self.shift, self.from_file, self.only)
        return any(one is not None for one in given)

    def is_beginning_only(self) -> bool:
        """Whether nothing but where it begins is given."""
        narrowed = self.only or self.filters or self.shadow or self.rate or self.until_offset
        return not narrowed and self.until == "latest"


def register(program: typer.Typer) -> None:
    program.add_typer(replay, name="replay")


@replay.command("plan")
@grouped
def plan_replay(
    name: Name,
    window: Window,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """What a replay would deliver; nothing is sent.

    Per partition from, until, how many, from when to when. Exit status 2: there is something to do.

    Example: `pipeline replay plan mail --from-duration 2h --until 2026-11-21T06:00:00Z`
    """
    asked = asked_of(window)

    async def work(node: Node) -> ReplayPlan:
        return await node.replays.plan(name, asked)

    found = with_node(where, work)
    show_plan(found, "planned", as_json=as_json)
    if found.count:
        typer.echo("nothing was sent; `pipeline replay run` with the same options does it", err=True)
        raise typer.Exit(CHANGES)


@replay.command("run")
@grouped
def run_replay(
    name: Name,
    window: Window,
    where: Where,
    as_json: AsJson = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Move the live cursor itself: it goes on from there, without an end.")
    ] = False,
    wait: Wait = True,
) -> None:
    """Deliver a window of history again, beside live delivery.

    Same ids, a webhook-replay header, a pointer of its own; live delivery is untouched.

    Example: `pipeline replay run mail --from 2026-11-20T22:00:00Z --rate 50`
    """
    asked = asked_of(window)
    if in_place and not window.is_beginning_only():
        raise typer.BadParameter("--in-place takes a beginning only: the live cursor has no end, filter or shadow")

    async def work(node: Node) -> tuple[ReplayPlan, str]:
        plan = await node.replays.plan(name, asked)
        if plan.count == 0:
            return plan, "planned"
        if in_place:
            return plan, await move_live(node, name, plan)
        return plan, await begun(node, await node.replays.create(plan, who=who()), wait=wait)

    plan, state = with_node(where, work)
    show_plan(plan, state, as_json=as_json)


def asked_of(window: Window) -> ReplayAsked:
    """The options of a replay as one value."""
    import msgspec  # noqa: PLC0415 - keeps --help quick

    from pipeline.replay import ReplayAsked  # noqa: PLC0415 - the same
    from pipeline.subscription import Endpoint  # noqa: PLC0415 - the same

    if not window.has_beginning():
        raise typer.BadParameter(f"say where it begins: {BEGINNINGS} or --id")
    if window.from_file is not None and window.from_offset:
        raise typer.BadParameter("--from-file and --from-offset say the same; give one of them")
    try:
        expressions = [msgspec.json.decode(text, type=dict[str, Any]) for text in window.filters or ()]
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"--filter: not a JSON object: {error}") from None
    return ReplayAsked(
        start=window.start,
        from_offset=_offsets(window.from_offset, "--from-offset")
        if window.from_file is None
        else _offsets_in(window.from_file),
        from_duration=window.from_duration,
        shift=window.shift,
        until=window.until,
        until_offset=_offsets(window.until_offset, "--until-offset"),
        ids=tuple(window.only or ()),
        filters=tuple(expressions),
        endpoint=None if window.shadow is None else Endpoint(url=window.shadow),
        rate_per_s=window.rate,
        allow_clamp=window.allow_clamp,
    )


async def move_live(node: Node, name: str, plan: ReplayPlan) -> str:
    """Move the subscription's own cursor to where the plan begins."""
    from pipeline.subscriptions import ResetAsked  # noqa: PLC0415 - keeps --help quick

    offsets: dict[str, dict[int, int]] = {}
    for part in plan.parts:
        offsets.setdefault(part.topic, {})[part.partition] = part.first
    done = await node.resets.reset(name, ResetAsked(offsets=offsets, dry_run=False), who=who())
    return "moved" if done.taken_up else "moved, not taken up yet"


def show_plan(plan: ReplayPlan, state: str, *, as_json: bool) -> None:
    rows = [plain(part) for part in plan.parts]
    columns = COLUMNS if any(row["clamped"] for row in rows) else COLUMNS[:-1]
    show_rows(rows, columns, as_json=as_json, empty="nothing lies in that window")
    told = {"events": plan.count, "state": state, "eta_s": plan.eta_s}
    if plan.eta_s is None and not as_json:
        del told["eta_s"]  # as fast as the endpoint takes them: nobody knows
    show_one(told, as_json=as_json)
    if not as_json and plan.count:
        typer.echo(f"with Kafka's own tool (it moves the live cursor): {safe(plan.command)}")


def _offsets(given: list[str] | None, option: str) -> int | dict[str, int] | None:
    if not given:
        return None
    if len(given) == 1 and given[0].isdecimal():
        return int(given[0])
    found: dict[str, int] = {}
    for text in given:
        place, _, offset = text.rpartition("=")
        if not place or not offset.isdecimal():
            raise typer.BadParameter(f"{option}: {text!r} is neither an offset nor TOPIC/PARTITION=OFFSET")
        found[place] = int(offset)
    return found


def _offsets_in(file: Path) -> dict[str, int]:
    """Kafka's own format (`kafka-consumer-groups --export`): quoted topic, partition, offset."""
    found: dict[str, int] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines), 1):
            if len(row) != 3 or not row[1].strip().isdecimal() or not row[2].strip().isdecimal():
                raise typer.BadParameter(f"{file}:{number}: expected topic,partition,offset")
            found[f"{row[0].strip()}/{row[1].strip()}"] = int(row[2])
    return found
