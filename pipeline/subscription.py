"""Subscription: a named cursor plus an endpoint, a filter and a policy; checked when made.

The field names are those of the HTTP surface and of ``subscriptions/*.yaml``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.names import check_subscription_name, check_topic_name

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")
# RFC 9110 §5.6.2 token, RFC 9110 §5.5 field value without controls.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*\Z")
# Headers that delivery owns; an endpoint may not override them (threat S15).
_DELIVERYS_OWN = re.compile(
    r"(?:host|content-length|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|content-type|user-agent"
    r"|x-hub-signature-256)\Z|webhook-|ce-|proxy-",
    re.IGNORECASE,
)
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING_KEY = re.compile(r"Object missing required field `(.*)`\Z")


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a failed attempt is tried again.

    ``schedule_s``: waits before attempts 2, 3, …, each drawn from (0, wait] (full jitter); when spent
    the event is buried. ``give_up_after_s``: buried this long after its first failed attempt whatever the
    schedule says. ``reject_status``: statuses that bury at once.
    """

    schedule_s: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0, 1800.0)
    give_up_after_s: float = 259_200.0
    reject_status: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.schedule_s) > 64 or any(not 0 <= wait <= 604_800 for wait in self.schedule_s):
            raise DeclarationInvalid(
                "/retry/schedule_s", list(self.schedule_s), "at most 64 waits of 0 to 604800 seconds"
            )
        if not 0 < self.give_up_after_s <= 2_592_000:
            raise DeclarationInvalid(
                "/retry/give_up_after_s", self.give_up_after_s, "more than 0 and at most 2592000 seconds"
            )
        if any(not 300 <= status <= 599 or status == 410 for status in self.reject_status):
            raise DeclarationInvalid(
                "/retry/reject_status", list(self.reject_status), "statuses 300 to 599 other than 410"
            )


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where deliveries go. ``timeout_s`` covers one attempt whole, ``connect_timeout_s`` its connection."""

    url: str
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    timeout_s: float = 15.0
    connect_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        _check_url(self.url)
        for name, value in self.headers.items():
            if not _HEADER_NAME.match(name) or not _HEADER_VALUE.match(value):
                raise DeclarationInvalid(
                    f"/endpoint/headers/{name}", value, "an RFC 9110 field name and a value of printable ASCII"
                )
            if _DELIVERYS_OWN.match(name):
                raise DeclarationInvalid(
                    f"/endpoint/headers/{name}", value, "a header that delivery does not set itself"
                )
        if not 0 < self.timeout_s <= 120:
            raise DeclarationInvalid("/endpoint/timeout_s", self.timeout_s, "more than 0 and at most 120 seconds")
        if not 0 < self.connect_timeout_s <= self.timeout_s:
            raise DeclarationInvalid(
                "/endpoint/connect_timeout_s", self.connect_timeout_s, "more than 0 and at most timeout_s"
            )


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signatures a delivery carries: Standard Webhooks ``v1`` and ``v1a``, GitHub's ``x-hub-signature-256``."""

    v1: bool = True
    v1a: bool = False
    github: bool = False


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One subscription as declared. Secrets and state live beside it in the subscriptions table, never in it."""

    name: str
    topics: tuple[str, ...]
    endpoint: Endpoint
    start: str = "latest"
    filters: tuple[dict[str, Any], ...] = ()
    signing: Signing = msgspec.field(default_factory=Signing)
    format: Literal["binary", "structured", "raw"] = "binary"
    ordering: Literal["key", "partition", "none"] = "key"
    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    rate_per_s: float | None = None
    in_flight_max: int = 128
    on_dead_letter: Literal["continue", "park", "block"] = "continue"

    def __post_init__(self) -> None:
        check_subscription_name(self.name)
        if not 1 <= len(self.topics) <= 100 or len(set(self.topics)) != len(self.topics):
            raise DeclarationInvalid("/topics", list(self.topics), "1 to 100 different topic names")
        for number, topic in enumerate(self.topics):
            check_topic_name(topic, field=f"/topics/{number}")
        check_start(self.start)
        if self.rate_per_s is not None and not 0 < self.rate_per_s <= 1_000_000:
            raise DeclarationInvalid("/rate_per_s", self.rate_per_s, "more than 0 and at most 1000000, or absent")
        if not 1 <= self.in_flight_max <= 4096:
            raise DeclarationInvalid("/in_flight_max", self.in_flight_max, "1 to 4096")


_KINDS: Mapping[str, type[msgspec.Struct]] = {"endpoint": Endpoint, "signing": Signing, "retry": RetryPolicy}
# What msgspec calls the kinds of a value, in words for people who write YAML and JSON.
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "nothing",
}


def check_start(start: str) -> str:
    if start not in ("earliest", "latest") and not _TIME.match(start):
        raise DeclarationInvalid("/start", start, "earliest, latest or an RFC 3339 time such as 2026-11-20T22:00:00Z")
    return start


def subscription_from(mapping: Mapping[str, Any]) -> Subscription:
    """A `Subscription` from parsed JSON or YAML.

    Raises `DeclarationInvalid` whose field is the JSON pointer of what is wrong: the unknown key itself (with the
    nearest known one), the missing key, or the value of a wrong type, which is shown.
    """
    for key in mapping:
        if not isinstance(key, str):
            raise DeclarationInvalid(f"/{key}", key, "a key that is text")
    try:
        return msgspec.convert(dict(mapping), Subscription)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, DeclarationInvalid):
            raise error.__cause__ from None
        raise _located(str(error), mapping) from None


def _located(message: str, mapping: Mapping[str, Any]) -> DeclarationInvalid:
    """msgspec's message (``Expected `int`, got `str` - at `$.topics[0]` ``) as an error that names the place."""
    problem, _, path = message.partition(" - at ")
    steps: list[str] = re.findall(r"[^.\[\]]+|\.\.\.", path.strip("`$"))
    kind = _KINDS.get(steps[0] if steps else "", Subscription)
    if unknown := _UNKNOWN_KEY.match(problem):
        known = kind.__struct_fields__
        nearest = difflib.get_close_matches(unknown[1][:64], known, n=1)
        hint = f" (did you mean {nearest[0]}?)" if nearest else ""
        return DeclarationInvalid(_pointer([*steps, unknown[1]]), unknown[1], f"one of {', '.join(known)}{hint}")
    if missing := _MISSING_KEY.match(problem):
        return DeclarationInvalid(_pointer([*steps, missing[1]]), "absent", f"the required key {missing[1]}")
    value, steps = _found(mapping, steps)
    if problem.startswith("Invalid enum value"):
        choices = get_args(get_type_hints(kind)[steps[-1]])
        return DeclarationInvalid(_pointer(steps), value, f"one of {', '.join(choices)}")
    wanted = problem.partition(", got")[0].removeprefix("Expected ").replace("`", "")
    return DeclarationInvalid(_pointer(steps), value, " or ".join(_WORDS.get(w, w) for w in wanted.split(" | ")))


def _found(mapping: Mapping[str, Any], steps: list[str]) -> tuple[Any, list[str]]:
    """The value that ``steps`` lead to, and the steps; msgspec writes ``...`` for the key of a table of texts."""
    value: Any = mapping
    taken = []
    for step in steps:
        if isinstance(value, Mapping):
            texts = value.items() if step == "..." else ()
            taken.append(next((str(key) for key, inner in texts if not isinstance(inner, str)), step))
            value = value.get(taken[-1])
        else:
            taken.append(step)
            value = value[int(step)]
    return value, taken


def _pointer(steps: list[str]) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps) or "/"


def _check_url(url: str) -> None:
    field = "/endpoint/url"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise DeclarationInvalid(field, url, "an absolute http or https URL") from None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not url.isascii()
        or re.search(r"[\x00-\x20\x7f]", url)
    ):
        raise DeclarationInvalid(field, url, "an absolute http or https URL of printable ASCII")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise DeclarationInvalid(field, url, "a URL without user, password or fragment (put credentials into headers)")
    if port == 0:
        raise DeclarationInvalid(field, url, "a port of 1 to 65535")


class SealedSecrets(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Signing secrets, newest first, each sealed (``sealing.py``) under the key its text names."""

    v1: tuple[str, ...] = ()
    v1a: tuple[str, ...] = ()


class StoredSubscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the subscriptions table.

    ``state``: ``active``, ``paused`` (by an operator), ``gone`` (the endpoint answered 410) or ``blocked``
    (``reason`` says why; an operator must decide). ``generation`` goes up by one with every change an
    operator makes, so that workers know to begin afresh.
    """

    spec: Subscription
    secrets: SealedSecrets = msgspec.field(default_factory=SealedSecrets)
    state: Literal["active", "paused", "gone", "blocked"] = "active"
    reason: str = ""
    generation: int = 0


class StoredRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the runs table: a bounded reading (replay or redrive) of a subscription.

    ``window`` maps topic to ``{partition: (from, until)}``: next offsets, ``until`` exclusive, frozen when
    the run was made. ``reasons`` and ``ids`` select dead letters (both empty: all of them).
    """

    id: str
    subscription: str
    kind: Literal["replay", "redrive"]
    window: dict[str, dict[int, tuple[int, int]]]
    reasons: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    rate_per_s: float | None = None
    state: Literal["active", "done", "cancelled"] = "active"
    created_at: str = ""


def secret_context(subscription: str) -> bytes:
    """What a subscription's secrets are sealed to: a sealed text moved to another row does not open."""
    return f"subscription/{subscription}".encode()
