"""What a request asks: query, preferences, preconditions and body, each read with a limit and refused by name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Any, NamedTuple, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request

from pipeline.errors import FormatUnreadable, InputError, PayloadTooLarge, TopicNotFound
from pipeline.gateway.problems import GatewayRefusal
from pipeline.names import check_topic_name

T = TypeVar("T")

_INTEGERS_DEPTH = 8
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=[,;]|$)", re.IGNORECASE)


def query_of(request: Request, *known: str) -> Mapping[str, str]:
    """The query parameters; one that is not ``known``, or comes twice, is refused: ignoring a filter would be a wrong
    answer.
    """
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise InputError(name, value, "one of the parameters " + (", ".join(known) or "(this resource takes none)"))
        if name in found:
            raise InputError(name, value, "a parameter given once")
        found[name] = value
    return found


def whole_number(field: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
        raise InputError(field, text, f"a whole number from {least} to {most}")
    return int(text)


def truth(field: str, text: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise InputError(field, text, "true or false")
    return text in ("true", "1")


def preferred_wait_s(request: Request) -> int | None:
    """Seconds of ``Prefer: wait`` (RFC 7240 §4.3), None without; preferences that cannot be read are ignored, as it
    says.
    """
    match = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return int(match[1]) if match else None


def exposed_topic(request: Request) -> str:
    """The topic in the path. Internal ones (``_pipeline-…``, ``__consumer_offsets``) do not exist here."""
    name = str(request.path_params["topic"])
    if name.startswith("_"):
        raise TopicNotFound(name)
    try:
        return check_topic_name(name)
    except InputError:
        raise TopicNotFound(name) from None


def if_match(request: Request) -> str | None:
    """The entity tag of ``If-Match`` without its quotes; ``*`` stays as it is, None without the header."""
    text = request.headers.get("if-match")
    return text.strip().removeprefix("W/").strip('"') if text is not None else None


def only_if_new(request: Request) -> bool:
    """Whether ``If-None-Match: *`` asks that there be none yet (RFC 9110 §13.1.2). Raises `InputError` on entity tags:
    what is changed is named by ``If-Match``.
    """
    text = request.headers.get("if-none-match")
    if text is not None and text.strip() != "*":
        raise InputError("If-None-Match", text, "`*`, that there be none yet; a version goes into If-Match")
    return text is not None


def who_asks(request: Request) -> str:
    """Who the audit names: nobody is authenticated here, so where the request came from."""
    return f"http {request.client.host}" if request.client is not None else "http"


class BodyLimit(NamedTuple):
    """How large a body may be, the name of the setting that says so, and how long it may take to come."""

    bytes_max: int
    setting: str
    wait_s: float


async def body_of(request: Request, limit: BodyLimit) -> bytes:
    """The body, whole, within ``limit``.

    Refused before it is read where its length is told, while it streams in otherwise. Encoded bodies are not taken:
    what they unpack to could not be bounded by their length. One that does not come in time is given up, so that
    clients that send nothing hold nothing.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise GatewayRefusal("unsupported-media-type", "send the body without content-encoding")
    told = request.headers.get("content-length", "0")
    too_large = PayloadTooLarge("body", f"{told} bytes", f"at most {limit.bytes_max} bytes ({limit.setting})")
    if told.isdigit() and int(told) > limit.bytes_max:
        raise too_large
    chunks: list[bytes] = []
    received = 0
    try:
        async with asyncio.timeout(limit.wait_s):
            async for chunk in request.stream():
                received += len(chunk)
                if received > limit.bytes_max:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise GatewayRefusal("body-late", f"the body did not come within {limit.wait_s:g} s", retryable=True) from None
    return b"".join(chunks)


async def json_object_of(request: Request, limit: BodyLimit) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object."""
    body = await body_of(request, limit)
    if not body:
        return {}
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise GatewayRefusal("unsupported-media-type", f"send application/json, not {kind[:80]}")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The body is not shown: it may hold secrets.
        raise FormatUnreadable("body", f"{len(body)} bytes", f"JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise FormatUnreadable("body", f"{len(body)} bytes", "a JSON object")
    whole: dict[str, Any] = _with_integers(parsed, _INTEGERS_DEPTH)
    return whole


def _with_integers(value: Any, depth: int) -> Any:
    """JSON knows one kind of number: ``5.0`` is the integer 5 (JSON Schema 2020-12 §6.1.1), wherever one is asked for.
    Members deeper than any resource has are left alone.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if depth and isinstance(value, dict):
        return {key: _with_integers(inner, depth - 1) for key, inner in value.items()}
    if depth and isinstance(value, list):
        return [_with_integers(inner, depth - 1) for inner in value]
    return value


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """``work``'s result; when the client hangs up meanwhile, ``work`` is cancelled and `ClientDisconnect` raised."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
