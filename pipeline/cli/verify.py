"""``pipeline verify``: what histories prove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import READABLE, AsJson, grouped
from pipeline.cli.show import safe, show_rows

COLUMNS = ("history", "events", "lost", "out of order", "duplicates", "again", "early", "commits", "recovery s")


def register(program: typer.Typer) -> None:
    program.command("verify")(grouped(verify))


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Histories of one subscription: producer, worker, receiver.", **READABLE),
    ],
    skew_s: Annotated[
        float, typer.Option("--skew-s", metavar="SECONDS", min=0, help="How far the writers' clocks may be apart.")
    ] = 0.0,
    as_json: AsJson = False,
) -> int:
    """Check histories of a run: nothing lost, in order, once.

    Found are lost events, broken order, second deliveries beyond what the incidents allow, commits past unfinished
    work ("early"), attempts of what was committed ("again"). Exit status 1 when there is anything.
    """
    import msgspec  # noqa: PLC0415 - keeps --help quick

    from pipeline.verify import check, read_history  # noqa: PLC0415 - the same
    from pipeline.verify.checker import row_of  # noqa: PLC0415 - the same

    verified = check((line for file in files for line in read_history(file)), skew_s=skew_s)
    if as_json:
        typer.echo(msgspec.json.encode({"ok": verified.ok, **msgspec.to_builtins(verified)}))
    else:
        show_rows([dict(row_of(files[0].stem, verified))], COLUMNS, as_json=False, empty="")
        for finding in verified.findings:
            typer.echo(safe(finding))
    return 0 if verified.ok else 1
