"""Options that several commands take, each spelled once, and `grouped`, by which a command takes some as one value."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from pipeline.errors import PipelineError

T = TypeVar("T")
HERE = Path()
# What a file to read must be; typer says which option it was and what it found instead.
READABLE: Mapping[str, bool] = {"exists": True, "dir_okay": False, "readable": True}

Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        metavar="FOLDER",
        help="Folder of pipeline.toml and the declarations.",
        envvar="PIPELINE_CONFIG",
        exists=True,
    ),
]
Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap-servers", metavar="HOST:PORT", help="Kafka to talk to; several with commas.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The subscription.")]
Execute = Annotated[bool, typer.Option("--execute", help="Do it; without this the plan is shown.")]
AllowClamp = Annotated[bool, typer.Option("--allow-clamp", help="Where the log does not reach, take what it holds.")]
Rate = Annotated[float | None, typer.Option(metavar="PER-SECOND", help="At most this many a second.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is through.")]


@dataclasses.dataclass(frozen=True)
class Where:
    """The configuration a command runs by, and the Kafka it talks to (None: the configuration's)."""

    directory: Directory = HERE
    bootstrap: Bootstrap = None


def grouped(command: Callable[..., T]) -> Callable[..., T]:
    """``command`` as typer reads it: each parameter that is a dataclass of options becomes those options, in its place.

    When it is called they are gathered into that value again. What it raises about a request's members is told in the
    words of its options: `/from_duration` as `--from-duration`.
    """
    parameters: list[inspect.Parameter] = []
    values: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            values[parameter.name] = kind
            parameters += _options_of(kind)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    options = {_member(one): one for parameter in parameters for one in _spelled(parameter)}

    @functools.wraps(command)
    def called(**given: Any) -> T:
        for name, kind in values.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
        try:
            return command(**given)
        except PipelineError as error:
            error.args = (in_options(str(error), options),)
            raise

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks at first
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def in_options(text: str, options: Mapping[str, str]) -> str:
    """An error of the library, which speaks of a request's members, in the words of a command line."""
    if text.startswith("/"):
        pointer, _, rest = text.partition(": ")
        steps = pointer.removeprefix("/select").lstrip("/").split("/")
        option = next((options[one] for one in _likely(steps[0]) if one in options), None)
        text = text if option is None else f"{option}: {rest}"
    for member, option in options.items():
        if "_" in member:
            text = re.sub(rf"(?<![\w/.-]){member}\b", option, text)
    return text


def _likely(member: str) -> Iterable[str]:
    return (member, member.removesuffix("s"), member.removesuffix("es"), member.removesuffix("_per_s"))


def _options_of(kind: type[Any]) -> Iterable[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
        )


def _spelled(parameter: inspect.Parameter) -> Iterable[str]:
    """The names of an option on the command line; none for an argument."""
    for one in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(one, typer.models.OptionInfo):
            given = [one.default, *(one.param_decls or ())] if isinstance(one.default, str) else one.param_decls or ()
            yield from given or (f"--{parameter.name.replace('_', '-')}",)


def _member(option: str) -> str:
    return option.partition("/")[0].strip("-").replace("-", "_")
