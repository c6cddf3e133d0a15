"""Problem documents (RFC 9457): which error is which status, and how it is told. The one table of both.

Every error the gateway answers goes through here: the product's own tree by its ``code``, Starlette's 404 and 405, and
what nobody foresaw (500, without its text: that is for the log).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.errors import InputError, PipelineError

TYPE_PREFIX = "urn:event-pipeline:problem:"
MEDIA_TYPE = "application/problem+json"


class Meaning(NamedTuple):
    status: int
    title: str


MEANINGS: Mapping[str, Meaning] = {
    "address-blocked": Meaning(422, "The endpoint's address may not be called"),
    "append-failed": Meaning(500, "Kafka refused the append"),
    "body-late": Meaning(408, "The body did not come in time"),
    "broker-unavailable": Meaning(503, "Kafka does not answer"),
    "call-failed": Meaning(503, "Another service did not answer"),
    "conflict": Meaning(409, "The state of things forbids it"),
    "cursor-epoch": Meaning(410, "The topic was deleted and created again"),
    "cursor-expired": Meaning(410, "Cursor is older than the retained log"),
    "cursor-malformed": Meaning(400, "Not a cursor"),
    "cursor-not-found": Meaning(404, "No such cursor"),
    "declaration-invalid": Meaning(422, "The declaration does not check"),
    "event-invalid": Meaning(422, "Not a valid CloudEvent"),
    "filter-invalid": Meaning(400, "The filter cannot be compiled"),
    "format-unreadable": Meaning(400, "The body is not what its content type says"),
    "group-active": Meaning(409, "A native member holds the consumer group"),
    "handshake-refused": Meaning(409, "The endpoint did not agree to be sent to"),
    "input-invalid": Meaning(400, "The request cannot be used"),
    "internal": Meaning(500, "Something went wrong here"),
    "log-error": Meaning(503, "Kafka did not do it"),
    "method-not-allowed": Meaning(405, "This method is not for this resource"),
    "not-found": Meaning(404, "No such resource"),
    "overloaded": Meaning(503, "Too much at once"),
    "pointer-missing": Meaning(409, "The committed position is gone"),
    "pointer-unreadable": Meaning(409, "The committed position cannot be read"),
    "position-beyond-end": Meaning(410, "The position lies beyond the end of the log"),
    "record-gone": Meaning(410, "The record is no longer on the log"),
    "registry-error": Meaning(503, "The schema registry did not do it"),
    "schema-mismatch": Meaning(422, "The data does not fit the topic's schema"),
    "schema-not-found": Meaning(404, "No such schema"),
    "signature-invalid": Meaning(400, "The signature does not verify"),
    "subscription-not-found": Meaning(404, "No such subscription"),
    "too-large": Meaning(413, "Too large"),
    "topic-not-found": Meaning(404, "No such topic"),
    "unsupported-media-type": Meaning(415, "This content type or encoding is not taken"),
    "would-clamp": Meaning(409, "The log does not hold what was asked for"),
    "version-conflict": Meaning(412, "Somebody else changed it first"),
}
"""``code`` of an error (the slug of its type) to the status and title of its problem document."""

RETRY_AFTER_S = {"broker-unavailable": 2, "overloaded": 1, "registry-error": 2, "log-error": 2, "call-failed": 2}


class GatewayRefusal(PipelineError):
    """What only the gateway can refuse: ``code`` is a slug of `MEANINGS`."""

    def __init__(self, code: str, detail: str, *, retryable: bool = False) -> None:
        self.code, self.retryable = code, retryable
        super().__init__(detail)


def problem(error: Exception, request_id: str, extra: Mapping[str, Any] | None = None) -> Response:
    """The response for ``error``; ``extra`` adds members of its own (``results``)."""
    code, detail, headers = _told(error)
    status, title = MEANINGS[code]
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": isinstance(error, PipelineError) and error.retryable,
        "requestId": request_id,
    }
    if errors := _errors(error):
        document["errors"] = errors
    if earliest := getattr(error, "earliest", None):
        document["earliest"] = earliest
    document.update(extra or {})
    if code in RETRY_AFTER_S:
        headers["retry-after"] = str(RETRY_AFTER_S[code])
    return Response(orjson.dumps(document), status, {"cache-control": "no-store", **headers}, MEDIA_TYPE)


def _told(error: Exception) -> tuple[str, str, dict[str, str]]:
    if isinstance(error, HTTPException):
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "input-invalid")
        detail = MEANINGS[code].title if code != "input-invalid" else str(error.detail)
        return code, detail, dict(error.headers or {})
    if isinstance(error, PipelineError) and error.code in MEANINGS and error.code != "internal":
        return error.code, str(error), {}
    return "internal", "the log of this gateway tells more under this requestId", {}


def _errors(error: Exception) -> list[dict[str, str]]:
    """``errors`` members: one for each fault found; an error may carry several of its kind as ``problems``."""
    faults = getattr(error, "problems", None) or (error,)
    return [
        {"pointer": fault.field, "detail": f"expected {fault.expected}"}
        for fault in faults
        if isinstance(fault, InputError)
    ]
