"""What can be done with which path; one route per path, so that 405 names every method that is allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

Handler = Callable[[Request], Awaitable[Response]]


class Verb(NamedTuple):
    method: str
    path: str
    handler: Handler


def routes_of(verbs: Iterable[Verb]) -> list[BaseRoute]:
    """One route for each path; HEAD is answered as GET."""
    by_path: dict[str, dict[str, Handler]] = {}
    for verb in verbs:
        by_path.setdefault(verb.path, {})[verb.method] = verb.handler
    return [Route(path, _dispatch(handlers), methods=list(handlers)) for path, handlers in by_path.items()]


def _dispatch(handlers: dict[str, Handler]) -> Handler:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return endpoint
