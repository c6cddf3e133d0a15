"""A bearer token by client credentials, kept while it lasts: RFC 6749 §4.4, RFC 6750.

One question at a time is put to the token endpoint however many deliveries wait; a token is renewed before it expires,
or when the endpoint answers 401 to it; a token endpoint that fails is left alone for a while, longer each time. Faults
say what was answered (status, RFC 6749's ``error`` code), never the credentials, the token or the rest of the body,
which may repeat them.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec

from pipeline.delivery.verdict import FaultKind
from pipeline.errors import AddressBlocked, CallFailed
from pipeline.subscription import OAuth2Auth
from pipeline.webhook.addresses import ConnectFailed
from pipeline.webhook.outbound import Answer, Outbound

# A token that says nothing of its end (RFC 6749 §5.1 allows it) is asked for again after this.
LIFE_S = 300.0
# It counts as over this long before its end, or a tenth of its life before if that is less: deliveries take a while.
MARGIN_S = 30.0
# A token no older than this is not asked for again, whatever the endpoint says of it.
RENEW_S_MIN = 10.0
FAILED_S_MIN, FAILED_S_MAX = 1.0, 60.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}\Z")
_ERROR = re.compile(r"[a-z_]{1,64}\Z")
_NEVER = float("-inf")


class ClientCredentials:
    """An `Authorization` with the token of ``auth`` and ``secret``, behind ``fixed`` header lines.

    ``clock``: monotonic seconds.
    """

    def __init__(
        self, auth: OAuth2Auth, secret: str, outbound: Outbound, *, clock: Callable[[], float], fixed: bytes = b""
    ) -> None:
        self._auth, self._secret, self._outbound, self._clock, self._fixed = auth, secret, outbound, clock, fixed
        self._lines = b""
        self._made_at = self._until = self._failed_until = _NEVER
        self._failed_s = 0.0
        self._failure: ConnectFailed | None = None
        self._asking: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether `lines` hold a token that lasts; if not, `renew` before sending."""
        return self._clock() < self._until

    def lines(self) -> bytes:
        """Header lines, each behind its ``\\r\\n``."""
        return self._lines

    def rejected(self, status: int) -> bool:
        """Whether `status` may mean that the token is stale: `renew`, then try that once more."""
        return status == 401

    async def renew(self) -> None:
        """Have a token that is younger than the one last used. Raises `ConnectFailed`."""
        now = self._clock()
        if now < self._until and now - self._made_at < RENEW_S_MIN:
            return
        if self._failure is not None and now < self._failed_until:
            raise self._failure
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_look)
        await asyncio.shield(self._asking)

    def close(self) -> None:
        """Wait for no token any more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> None:
        try:
            token, life_s = _token_of(await self._answer())
        except (CallFailed, AddressBlocked) as error:
            self._fail(f"no token: {error}")
        except _Refused as refused:
            self._fail(f"no token: the token endpoint {refused}")
        else:
            self._made_at = self._clock()
            self._until = self._made_at + life_s - min(MARGIN_S, life_s / 10)
            self._lines = self._fixed + b"\r\nauthorization: Bearer " + token.encode("ascii")
            self._failure, self._failed_s = None, 0.0

    async def _answer(self) -> Answer:
        auth = self._auth
        # RFC 6749 §2.3.1: both are form-encoded before they are made a Basic credential.
        pair = f"{quote_plus(auth.client_id)}:{quote_plus(self._secret)}".encode()
        headers = {
            "authorization": f"Basic {base64.b64encode(pair).decode()}",
            "accept": "application/json",
            "content-type": "application/x-www-form-urlencoded",
        }
        form = {"grant_type": "client_credentials", "scope": auth.scope, "audience": auth.audience}
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        return await self._outbound.call("POST", auth.token_url, headers=headers, body=body)

    def _fail(self, text: str) -> None:
        self._failed_s = min(max(2 * self._failed_s, FAILED_S_MIN), FAILED_S_MAX)
        self._failed_until = self._clock() + self._failed_s
        self._failure = ConnectFailed(FaultKind.CREDENTIAL, text)
        raise self._failure


class _Refused(Exception):
    """The text goes on after "the token endpoint"."""


def _token_of(answer: Answer) -> tuple[str, float]:
    """The token and its life in seconds (RFC 6749 §5.1). Raises `_Refused`."""
    try:
        document: dict[str, Any] = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        document = {}
    if answer.status != 200:
        error = document.get("error")
        told = f": {error}" if isinstance(error, str) and _ERROR.match(error) else ""
        raise _Refused(f"answered {answer.status}{told}")
    token, kind = document.get("access_token"), document.get("token_type", "Bearer")
    if not isinstance(token, str) or not _TOKEN.match(token):
        raise _Refused("answered 200 without an access_token that can be sent")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _Refused("answered with a token that is no bearer token")
    return token, _life_s(document.get("expires_in"))


def _life_s(given: object) -> float:
    """Servers are known to write it as text too."""
    try:
        life_s = float(given) if isinstance(given, int | float | str) else LIFE_S
    except (ValueError, OverflowError):
        life_s = LIFE_S
    return min(life_s, 86_400.0) if life_s > 0 else LIFE_S


def _look(task: asyncio.Task[None]) -> None:
    """A failure whose askers have all run out of time is looked at, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()
