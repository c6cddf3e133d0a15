"""What every response has: a ``Request-Id``, and a problem document even when nobody foresaw the error."""

from __future__ import annotations

import secrets

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.gateway.problems import problem

_log = structlog.get_logger(__name__)


class Envelope:
    """The outermost layer of the app. It is the root of a request's task, so it may catch everything (and logs it)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = f"req_{secrets.token_hex(10)}"
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["request-id"] = request_id
                # Bodies here were written by producers: no browser shall guess what they are.
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001 - root of the request's task: answered, counted as 500 and logged
            _log.exception("request failed", request_id=request_id, path=scope["path"])
            if not started:
                await problem(error, request_id)(scope, receive, send_with_id)
