"""``pipeline replay``: deliver a window of history to a subscription again, beside its live delivery."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import run_verbs
from pipeline.cli.run_verbs import CHANGES, begun
from pipeline.cli.running import HERE, AsJson, Bootstrap, Directory, plain, who, with_node
from pipeline.cli.show import safe, show_one, show_rows

if TYPE_CHECKING:
    from pipeline.replay import ReplayAsked, ReplayPlan
    from pipeline.wiring import Node

replay = typer.Typer(help="Replays: plan, run, watch, pause, cancel; and the same for redrives.", no_args_is_help=True)
run_verbs.register(replay)
COLUMNS = ("topic", "partition", "first", "until", "count", "first_at", "last_at", "clamped")

Name = Annotated[str, typer.Argument(help="The subscription.")]
Start = Annotated[str | None, typer.Option("--from", help="earliest, a cursor, or an RFC 3339 time with a zone.")]
Until = Annotated[str, typer.Option("--until", help="latest (frozen now), a cursor, or an RFC 3339 time.")]
FromOffset = Annotated[
    list[str] | None, typer.Option(help="An offset for every partition, or TOPIC/PARTITION=OFFSET; may be repeated.")
]
UntilOffset = Annotated[list[str] | None, typer.Option(help="The same for the end, exclusive.")]
FromDuration = Annotated[str | None, typer.Option(help="So long ago: PT2H30M, 90m, 7d.")]
Shift = Annotated[int | None, typer.Option(help="So many offsets from what is committed; negative goes back.")]
FromFile = Annotated[Path | None, typer.Option(help="Kafka's CSV: topic,partition,offset in each line.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this webhook id or event id; may be repeated.")]
Filters = Annotated[list[str] | None, typer.Option("--filter", help="A filter expression in JSON; all must hold.")]
Shadow = Annotated[str | None, typer.Option(help="Deliver to this URL instead, signed the same; no dead letters.")]
Rate = Annotated[float | None, typer.Option(help="At most this many a second.")]
AllowClamp = Annotated[bool, typer.Option("--allow-clamp", help="Take what the log holds of a window it does not.")]


def register(program: typer.Typer) -> None:
    program.add_typer(replay, name="replay")


@replay.command("plan")
def plan_replay(
    name: Name,
    start: Start = None,
    until: Until = "latest",
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    from_offset: FromOffset = None,
    until_offset: UntilOffset = None,
    from_duration: FromDuration = None,
    shift: Shift = None,
    from_file: FromFile = None,
    only: Ids = None,
    filters: Filters = None,
    shadow: Shadow = None,
    rate: Rate = None,
    allow_clamp: AllowClamp = False,
) -> None:
    """What a replay would deliver: per partition from, until, how many, from when to when. Nothing is sent."""
    beginning = (start, from_offset, from_duration, shift, from_file)
    asked = asked_of(beginning, (until, until_offset), only, filters, shadow, rate, allow_clamp)

    async def work(node: Node) -> ReplayPlan:
        return await node.replays.plan(name, asked)

    found = with_node(directory, bootstrap, work)
    show_plan(found, "planned", as_json=as_json)
    if found.count:
        typer.echo("nothing was sent; `pipeline replay run` with the same options does it", err=True)
        raise typer.Exit(CHANGES)


@replay.command("run")
def run_replay(
    name: Name,
    start: Start = None,
    until: Until = "latest",
    directory: Directory = HERE,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
    from_offset: FromOffset = None,
    until_offset: UntilOffset = None,
    from_duration: FromDuration = None,
    shift: Shift = None,
    from_file: FromFile = None,
    only: Ids = None,
    filters: Filters = None,
    shadow: Shadow = None,
    rate: Rate = None,
    allow_clamp: AllowClamp = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Move the live cursor itself: it goes on from there, without an end.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is through.")] = True,
) -> None:
    """Deliver the window again: same ids, a webhook-replay header, a pointer of its own; live delivery is untouched."""
    beginning = (start, from_offset, from_duration, shift, from_file)
    asked = asked_of(beginning, (until, until_offset), only, filters, shadow, rate, allow_clamp)
    if in_place and (only or filters or shadow or rate or until != "latest" or until_offset):
        raise typer.BadParameter("--in-place takes a beginning only: the live cursor has no end, filter or shadow")

    async def work(node: Node) -> tuple[ReplayPlan, str]:
        plan = await node.replays.plan(name, asked)
        if plan.count == 0:
            return plan, "planned"
        if in_place:
            return plan, await move_live(node, name, plan)
        return plan, await begun(node, await node.replays.create(plan, who=who()), wait=wait)

    plan, state = with_node(directory, bootstrap, work)
    show_plan(plan, state, as_json=as_json)


def asked_of(
    beginning: tuple[str | None, list[str] | None, str | None, int | None, Path | None],
    end: tuple[str, list[str] | None],
    only: list[str] | None,
    filters: list[str] | None,
    shadow: str | None,
    rate: float | None,
    allow_clamp: bool,
) -> ReplayAsked:
    """The options of a replay as one value."""
    import msgspec  # noqa: PLC0415 - keeps --help quick

    from pipeline.replay import ReplayAsked  # noqa: PLC0415 - the same
    from pipeline.subscription import Endpoint  # noqa: PLC0415 - the same

    start, from_offset, from_duration, shift, from_file = beginning
    if from_file is not None and from_offset:
        raise typer.BadParameter("--from-file and --from-offset say the same; give one of them")
    try:
        expressions = [msgspec.json.decode(text, type=dict[str, Any]) for text in filters or ()]
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"--filter: not a JSON object: {error}") from None
    return ReplayAsked(
        start=start,
        from_offset=_offsets(from_offset, "--from-offset") if from_file is None else _offsets_in(from_file),
        from_duration=from_duration,
        shift=shift,
        until=end[0],
        until_offset=_offsets(end[1], "--until-offset"),
        ids=tuple(only or ()),
        filters=tuple(expressions),
        endpoint=None if shadow is None else Endpoint(url=shadow),
        rate_per_s=rate,
        allow_clamp=allow_clamp,
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
    show_one({"events": plan.count, "state": state, "eta_s": plan.eta_s}, as_json=as_json)
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
