"""RemoteRegistry: a Confluent-compatible schema registry over HTTP.

Source: Confluent Schema Registry API reference, ``/subjects`` and ``/schemas``; error codes 40401 to 40403, 409, 42201.
Limits: one call takes at most ``timeout_s``, an answer at most `ANSWER_BYTES_MAX`; what is beyond is a `RegistryError`.
Calls are made by whom it is given (`Caller`): no socket is opened here.

What is remembered: schemas by id for ever (ids never change meaning), at most `REMEMBERED_MAX` of them; the latest of a
subject for ``latest_age_s``. While the registry cannot be asked the remembered latest goes on being used: its id stays
readable, and publishing should not stop with the registry.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from pipeline.errors import AddressBlocked, CallFailed, Conflict, DeclarationInvalid, RegistryError, SchemaNotFound
from pipeline.format.frame import SCHEMA_ID_MAX
from pipeline.registry.face import Registered

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

ANSWER_BYTES_MAX = 4_194_304
REMEMBERED_MAX = 10_000
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND = 404
_CONFLICT = 409
_UNPROCESSABLE = 422


class Answered(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class Caller(Protocol):
    """The product's one HTTP client, or a test's."""

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        body_bytes_max: int,
    ) -> Answered:
        """Raises `CallFailed` and `AddressBlocked`."""


class RemoteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``url`` is what comes before ``/subjects``. Give ``user`` and ``password``, or ``token``, or neither."""

    url: str
    user: str = ""
    password: str = ""
    token: str = ""
    timeout_s: float = 5.0
    latest_age_s: float = 30.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise DeclarationInvalid("registry.url", self.url, "an http or https URL, such as http://127.0.0.1:8081")
        if parts.username is not None or parts.password is not None:
            shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            raise DeclarationInvalid("registry.url", shown, "a URL without user and password; they have settings")
        if not 0 < self.timeout_s <= 120:
            raise DeclarationInvalid("registry.timeout_s", self.timeout_s, "more than 0 and at most 120 seconds")

    def __repr__(self) -> str:
        return f"RemoteSettings(url={self.url!r})"  # never the secrets


class RemoteRegistry:
    """Must be used on one event loop. ``caller`` makes its calls."""

    def __init__(
        self, settings: RemoteSettings, caller: Caller, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._caller, self._clock = settings, caller, clock
        self._url = settings.url.rstrip("/")
        self._headers = _headers_of(settings)
        self._by_id: dict[int, str] = {}
        self._latest: dict[str, tuple[float, Registered]] = {}
        self._asking: dict[str, asyncio.Task[Any]] = {}

    async def latest(self, subject: str) -> Registered:
        """See `Registry.latest`."""
        known = self._latest.get(subject)
        if known is not None and self._clock() - known[0] < self._settings.latest_age_s:
            return known[1]
        try:
            return await self._once(f"latest {subject}", lambda: self._ask_latest(subject))
        except RegistryError:
            if known is None:
                raise
            # Not asked again before another age is over: the next events shall not wait for a registry that is down.
            self._latest[subject] = (self._clock(), known[1])
            return known[1]

    async def by_id(self, schema_id: int) -> str:
        """See `Registry.by_id`."""
        known = self._by_id.get(schema_id)
        if known is not None:
            return known
        return await self._once(f"id {schema_id}", lambda: self._ask_by_id(schema_id))

    async def register(self, subject: str, schema: str) -> Registered:
        """See `Registry.register`. What counts as compatible is set at the registry; BACKWARD is its own default."""
        body = {"schema": schema, "schemaType": "AVRO"}
        status, answer = await self._call("POST", f"/subjects/{quote(subject, safe='')}/versions", body)
        if status == _CONFLICT:
            raise Conflict(f"the registry refuses the new schema of {subject}: {_message(answer)}")
        if status == _UNPROCESSABLE:
            raise DeclarationInvalid(f"schema {subject}", _message(answer), "an Avro schema that the registry takes")
        if status >= 300:
            self._fail(f"register {subject}", status, answer)
        # An old schema may have been given again: which one is the latest is for the registry to say.
        self._latest.pop(subject, None)
        return Registered(id=self._id(answer), subject=subject, schema=schema)

    async def close(self) -> None:
        """See `Registry.close`."""
        for task in list(self._asking.values()):
            task.cancel()

    async def _ask_latest(self, subject: str) -> Registered:
        status, answer = await self._call("GET", f"/subjects/{quote(subject, safe='')}/versions/latest")
        if status == _NOT_FOUND:
            raise SchemaNotFound(subject, f"the registry says: {_message(answer)}")
        if status >= 300:
            self._fail(f"read the latest schema of {subject}", status, answer)
        found = Registered(id=self._id(answer), subject=subject, schema=self._avro(answer))
        _remember(self._latest, subject, (self._clock(), found))
        _remember(self._by_id, found.id, found.schema)
        return found

    async def _ask_by_id(self, schema_id: int) -> str:
        status, answer = await self._call("GET", f"/schemas/ids/{schema_id}")
        if status == _NOT_FOUND:
            raise SchemaNotFound(f"id {schema_id}", f"the registry says: {_message(answer)}")
        if status >= 300:
            self._fail(f"read schema {schema_id}", status, answer)
        schema = self._avro(answer)
        _remember(self._by_id, schema_id, schema)
        return schema

    async def _once(self, question: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One call at a time per question, however many wait for the answer; a waiter that leaves disturbs nobody."""
        task: asyncio.Task[T] | None = self._asking.get(question)
        if task is None:
            task = self._asking[question] = asyncio.create_task(ask())
            task.add_done_callback(lambda done: self._answered(question, done))
        return await asyncio.shield(task)

    def _answered(self, question: str, task: asyncio.Task[Any]) -> None:
        self._asking.pop(question, None)
        if not task.cancelled():
            task.exception()  # seen here in case everybody who waited has left

    async def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and parsed answer; `RegistryError` when there is none in time or it is no JSON object."""
        doing = f"schema registry {self._url}: {method} {path}"
        try:
            answer = await self._caller.call(
                method,
                self._url + path,
                headers=self._headers,
                body=b"" if body is None else msgspec.json.encode(body),
                timeout_s=self._settings.timeout_s,
                body_bytes_max=ANSWER_BYTES_MAX,
            )
        except CallFailed as failed:
            raise RegistryError(f"{doing}: {failed.detail}") from None
        except AddressBlocked as blocked:
            raise RegistryError(f"{doing}: {blocked}") from None
        try:
            document = msgspec.json.decode(answer.body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise RegistryError(f"{doing}: status {answer.status} with a body that is no JSON object") from None
        return answer.status, document

    def _avro(self, answer: dict[str, Any]) -> str:
        if answer.get("schemaType", "AVRO") != "AVRO":
            raise RegistryError(
                f"schema registry {self._url}: a schema of type {answer['schemaType']}; only AVRO is read"
            )
        if answer.get("references"):
            raise RegistryError(f"schema registry {self._url}: a schema with references, which are not read yet")
        schema = answer.get("schema")
        if not isinstance(schema, str):
            raise RegistryError(f"schema registry {self._url}: an answer without a schema")
        return schema

    def _id(self, answer: dict[str, Any]) -> int:
        schema_id = answer.get("id")
        if not isinstance(schema_id, int) or not 0 <= schema_id <= SCHEMA_ID_MAX:
            raise RegistryError(f"schema registry {self._url}: an answer without an id")
        return schema_id

    def _fail(self, doing: str, status: int, answer: dict[str, Any]) -> NoReturn:
        raise RegistryError(f"schema registry {self._url}: cannot {doing}: status {status}, {_message(answer)}")


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """The one remembered longest ago makes room."""
    known.pop(key, None)
    known[key] = value
    if len(known) > REMEMBERED_MAX:
        del known[next(iter(known))]


def _message(answer: dict[str, Any]) -> str:
    """What the registry says of its refusal, on one line and cut."""
    return " ".join(str(answer.get("message", "no message")).split())[:500]


def _headers_of(settings: RemoteSettings) -> dict[str, str]:
    headers = {"accept": f"{_MEDIA_TYPE}, application/json", "content-type": _MEDIA_TYPE}
    if settings.token:
        headers["authorization"] = f"Bearer {settings.token}"
    elif settings.user:
        headers["authorization"] = f"Basic {b64encode(f'{settings.user}:{settings.password}'.encode()).decode()}"
    return headers
