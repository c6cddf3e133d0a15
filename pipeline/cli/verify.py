"""``pipeline verify``: what histories prove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.running import AsJson
from pipeline.cli.show import safe, show_rows
from pipeline.errors import DeclarationInvalid

COLUMNS = ("history", "events", "lost", "out of order", "duplicates", "again", "early", "recovery s")


def register(program: typer.Typer) -> None:
    program.command("verify")(verify)


def verify(
    files: Annotated[list[Path], typer.Argument(help="Histories of one subscription, by producer, worker, receiver.")],
    skew_s: Annotated[float, typer.Option("--skew-s", help="How far the writers' clocks may be apart.")] = 0.0,
    as_json: AsJson = False,
) -> int:
    """Check histories for lost events, broken order, second deliveries beyond what the incidents allow, and commits
    past unfinished work ("early"), attempts of what was committed ("again"). Exit status 1 when something is found.
    """
    import msgspec  # noqa: PLC0415 - keeps --help quick

    from pipeline.verify import check, read_history  # noqa: PLC0415 - the same
    from pipeline.verify.checker import row_of  # noqa: PLC0415 - the same

    for file in files:
        if not file.is_file():
            raise DeclarationInvalid("file", str(file), "a history that is there")
    verified = check((line for file in files for line in read_history(file)), skew_s=skew_s)
    if as_json:
        typer.echo(msgspec.json.encode({"ok": verified.ok, **msgspec.to_builtins(verified)}))
    else:
        show_rows([dict(row_of(files[0].stem, verified))], COLUMNS, as_json=False, empty="")
        for finding in verified.findings:
            typer.echo(safe(finding))
    return 0 if verified.ok else 1
