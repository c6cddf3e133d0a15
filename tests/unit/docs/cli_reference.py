"""Renders the reference of the command line from the program itself.

python -m tests.unit.docs.cli_reference > docs/cli.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pipeline.cli.program import command_line

HEAD = """# Command line

Written by the program itself (`python -m tests.unit.docs.cli_reference > docs/cli.md`).

Exit status: **0** done · **1** an error, said in one line on standard error · **2** a plan has changes that were not
made · **3** refused by a guard or by the state of things, nothing was done. `pipeline kafka` passes on the tool's own.

Every command takes its settings from `pipeline.toml` in `--dir`, from `PIPELINE_…` variables and from flags, the later
winning ([configuration.md](configuration.md)). A command that talks to Kafka talks to the one that is named so; where
none is, to the one that `pipeline dev` runs in that folder. `--json` prints one object a line.
`pipeline --install-completion` teaches your shell the commands.
"""


def commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below ``group`` that does something, with the words that call it."""
    for name in group.list_commands(None):
        command = group.commands[name]
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def render() -> str:
    program = command_line()
    return HEAD + "".join(_section(path, command) for path, command in commands(program, ("pipeline",)))


def _section(path: tuple[str, ...], command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([*path, *(_placeholder(one) for one in arguments), "[OPTIONS]"])
    if path == ("pipeline", "kafka"):
        usage = "pipeline kafka [OPTIONS] TOOL …"
    words = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    rows = [f"| `{_placeholder(one)}` | {_told(one)} |" for one in arguments]
    rows += [f"| `{_spelled(one)}` | {_told(one)} |" for one in options]
    return f"\n## {' '.join(path)}\n\n`{usage}`\n\n{words}\n\n| | |\n|---|---|\n" + "\n".join(rows) + "\n"


def _placeholder(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper()
    return name if argument.required else f"[{name}]"


def _spelled(option: Any) -> str:
    names = ", ".join((*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} {option.metavar or option.opts[0].strip('-').upper()}"


def _told(parameter: Any) -> str:
    text = " ".join((getattr(parameter, "help", None) or "").split())
    default = parameter.default
    shown = None if default is None or isinstance(default, bool) or callable(default) or parameter.required else default
    return f"{text} Default: `{shown}`." if shown not in (None, "", (), []) else text


if __name__ == "__main__":
    sys.stdout.write(render())
