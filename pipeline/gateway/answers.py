"""JSON answers, entity tags and declared bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import orjson
from starlette.responses import Response

from pipeline.errors import PipelineError
from pipeline.subscription.located import located

S = TypeVar("S", bound=msgspec.Struct)


def json_response(
    content: object, status: int = 200, *, etag: str | None = None, location: str | None = None
) -> Response:
    """``content`` (structs as objects) as JSON; never stored by caches: it tells how things stand now."""
    headers = {"cache-control": "no-store"}
    if etag is not None:
        headers["etag"] = f'"{etag}"'
    if location is not None:
        headers["location"] = location
    body = orjson.dumps(content, default=msgspec.to_builtins, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, status, headers, "application/json")


def body_as(kind: type[S], body: Mapping[str, Any]) -> S:
    """``body`` as the struct ``kind``; raises what the struct raises, or `DeclarationInvalid` with a pointer."""
    try:
        return msgspec.convert(dict(body), kind, str_keys=True)  # partitions are keys, and JSON's keys are text
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, PipelineError):
            raise error.__cause__ from None
        raise located(str(error).replace("`key` in ", ""), body, kind) from None
