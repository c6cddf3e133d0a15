"""The gateway as an ASGI app: every route of the HTTP surface, inside the envelope that all responses share."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pipeline.errors import PipelineError
from pipeline.gateway.cursors import Cursors
from pipeline.gateway.dead_letters import DeadLetterRoutes
from pipeline.gateway.envelope import Envelope
from pipeline.gateway.events_in import EventsIn
from pipeline.gateway.events_out import EventsOut, LongPolls
from pipeline.gateway.health import Health
from pipeline.gateway.openapi import document
from pipeline.gateway.parked import ParkedRoutes
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.problems import problem
from pipeline.gateway.runs import RunRoutes
from pipeline.gateway.subscriptions import SubscriptionRoutes
from pipeline.gateway.topics import Topics
from pipeline.gateway.verbs import Verb, routes_of


def build_app(parts: GatewayParts) -> Starlette:
    """The app over ``parts``, which must be started; it owns none of them."""
    polls = EventsOut(parts, LongPolls(parts.limits.long_polls_max))
    verbs = [
        *EventsIn(parts).verbs(),
        *polls.verbs(),
        *Topics(parts).verbs(),
        *Cursors(parts, polls).verbs(),
        *SubscriptionRoutes(parts).verbs(),
        *RunRoutes(parts).verbs(),
        *DeadLetterRoutes(parts).verbs(),
        *ParkedRoutes(parts).verbs(),
        *Health(parts).verbs(),
        Verb("GET", "/v1/openapi.json", _openapi),
    ]
    app = Starlette(
        routes=routes_of(verbs),
        middleware=[Middleware(Envelope)],
        exception_handlers={
            PipelineError: _told,
            HTTPException: _told,
            ClientDisconnect: _gone,
        },
    )
    app.router.redirect_slashes = False
    return app


async def _openapi(request: Request) -> Response:
    return Response(document(), media_type="application/json")


async def _told(request: Request, error: Exception) -> Response:
    return problem(error, request.state.request_id)


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody is there to read it; 499 is what proxies log for a client that hung up."""
    return Response(status_code=499)
