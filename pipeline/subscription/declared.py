"""Subscription: a named cursor plus an endpoint, a filter and a policy, as declared; checked when made.

The field names are those of the HTTP surface and of ``subscriptions/*.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.names import check_subscription_name, check_topic_name
from pipeline.subscription.endpoint import Endpoint
from pipeline.subscription.located import located
from pipeline.subscription.policy import Batch, RetryPolicy, Signing

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One subscription as declared. Secrets and state live beside it in the subscriptions table, never in it."""

    name: str
    topics: tuple[str, ...]
    endpoint: Endpoint
    start: str = "latest"
    filters: tuple[dict[str, Any], ...] = ()
    signing: Signing = msgspec.field(default_factory=Signing)
    format: Literal["binary", "structured", "raw", "batch", "thin"] = "binary"
    batch: Batch = msgspec.field(default_factory=Batch)
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
        raise located(str(error), mapping, Subscription) from None
