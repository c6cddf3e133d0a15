"""A caller of ASGI apps: one request in, the whole response out, nothing in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] = b"",
        json_body: object = None,
        hang_up: asyncio.Event | None = None,
    ) -> Answer:
        """``body`` may come in chunks (without a content-length then); the client hangs up when ``hang_up`` is set."""
        fields = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body).encode()
            fields.setdefault("content-type", "application/json")
        if isinstance(body, bytes):
            fields.setdefault("content-length", str(len(body)))
            chunks = [body]
        else:
            chunks = list(body)
        return await self._call(method, target, fields, chunks, hang_up or asyncio.Event())

    async def _call(
        self, method: str, target: str, headers: Mapping[str, str], chunks: list[bytes], hang_up: asyncio.Event
    ) -> Answer:
        parts = urlsplit(target)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 50000),
        }
        sent: list[Message] = []
        left = list(chunks)

        async def receive() -> Message:
            if left:
                chunk = left.pop(0)
                return {"type": "http.request", "body": chunk, "more_body": bool(left)}
            await hang_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = next(message for message in sent if message["type"] == "http.response.start")
        answered = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
        return Answer(start["status"], answered, body)
