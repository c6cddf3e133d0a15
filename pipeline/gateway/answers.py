"""JSON answers, entity tags and declared bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import orjson
from starlette.responses import Response

from pipeline.errors import DeclarationInvalid, PipelineError

S = TypeVar("S", bound=msgspec.Struct)
_UNKNOWN = re.compile(r"unknown field `(.*)`")


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
        return msgspec.convert(dict(body), kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, PipelineError):
            raise error.__cause__ from None
        text, _, path = str(error).partition(" - at ")
        pointer = re.sub(r"[.\[\]]+", "/", path.strip("`$")).rstrip("/")
        if unknown := _UNKNOWN.search(text):
            pointer = f"{pointer}/{unknown[1]}"
            text = "one of the members that this resource takes"
        raise DeclarationInvalid(pointer or "/", "", text) from None
