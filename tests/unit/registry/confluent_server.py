"""A schema registry that answers as the Confluent API reference documents, for as much of it as we use."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from pipeline.errors import Conflict, PipelineError
from pipeline.format.avro_codec import AvroCodec
from pipeline.registry.local import check_backward

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


class ConfluentServer:
    """``asked`` lists the requests; ``answer`` set to a response is given instead of the right one."""

    def __init__(self) -> None:
        self.url = ""
        self.schemas: list[tuple[str, str]] = []  # (subject, schema), the id is the place counted from 1
        self.asked: list[str] = []
        self.authorization: str | None = None
        self.answer: web.Response | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ConfluentServer]:
        app = web.Application(middlewares=[self._middleware])
        app.router.add_get("/subjects/{subject}/versions/latest", self._latest)
        app.router.add_post("/subjects/{subject}/versions", self._register)
        app.router.add_get("/schemas/ids/{id}", self._by_id)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.raw_path}")
        self.authorization = request.headers.get("Authorization")
        return self.answer if self.answer is not None else await handler(request)

    async def _latest(self, request: web.Request) -> web.Response:
        subject = request.match_info["subject"]
        found = [(number, text) for number, (name, text) in enumerate(self.schemas, 1) if name == subject]
        if not found:
            return refusal(404, 40401, f"Subject '{subject}' not found.")
        schema_id, schema = found[-1]
        return answered({"subject": subject, "version": len(found), "id": schema_id, "schema": schema})

    async def _by_id(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        if not 1 <= number <= len(self.schemas):
            return refusal(404, 40403, "Schema not found")
        return answered({"schema": self.schemas[number - 1][1]})

    async def _register(self, request: web.Request) -> web.Response:
        subject, body = request.match_info["subject"], await request.json(loads=json.loads)
        assert request.content_type == MEDIA_TYPE
        schema = body["schema"]
        try:
            AvroCodec(schema)
            known = [(number, text) for number, (name, text) in enumerate(self.schemas, 1) if name == subject]
            for number, text in known:
                if json.loads(text) == json.loads(schema):
                    return answered({"id": number})
            if known:
                check_backward(subject, schema, known[-1][1])
        except Conflict as error:
            return refusal(409, 409, f"Schema being registered is incompatible with an earlier schema; {error}")
        except PipelineError as error:
            return refusal(422, 42201, f"Invalid schema: {error}")
        self.schemas.append((subject, schema))
        return answered({"id": len(self.schemas)})


def answered(body: object, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), status=status, content_type=MEDIA_TYPE)


def refusal(status: int, code: int, message: str) -> web.Response:
    return answered({"error_code": code, "message": message}, status)
