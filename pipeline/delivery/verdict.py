"""What the outcome of one attempt means: a `Reply` or a `Fault` in, a `Verdict` out.

Rules: the status alone decides, 2xx is success, redirects are failures (Standard Webhooks 1.0.0, "Delivery");
410 means the receiver is gone for good; Retry-After of a 429 or 503 is honoured up to an hour (RFC 9110 §10.2.3).
A fault is tried again, except what trying again cannot mend: a record that cannot be written as a request and a
coroutine's refusal end that event; an address that may not be called stops the reading, since every event behind would
meet it too, and none is buried for it.
"""

from __future__ import annotations

import calendar
import re
from enum import Enum

import msgspec

RETRY_AFTER_S_MAX = 3600.0
SUMMARY_CHARACTERS_MAX = 512


class FaultKind(Enum):
    """Why no reply came. The value is what operators read in attempts, metrics and dead letters."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    RESET = "reset"
    TLS = "tls"
    DNS = "dns"
    BLOCKED_ADDRESS = "blocked-address"
    PROTOCOL = "protocol"
    UNDECODABLE = "undecodable"
    RAISED = "raised"
    REFUSED = "refused"
    CREDENTIAL = "credential"


class Reply(msgspec.Struct, frozen=True, gc=False):
    """The endpoint answered. ``retry_after`` is that header as it came; ``excerpt`` the first bytes of a body that
    was no 2xx's.
    """

    status: int
    retry_after: str | None
    elapsed_s: float
    excerpt: bytes = b""


class Fault(msgspec.Struct, frozen=True, gc=False):
    """No complete reply head came. ``detail`` is one line without secrets: never a URL, a header value or a body.

    A coroutine as the endpoint has faults of its own: ``RAISED``, with the least wait it asked for, and ``REFUSED``.
    """

    kind: FaultKind
    detail: str
    elapsed_s: float
    retry_after_s: float | None = None


class VerdictKind(Enum):
    DELIVERED = "delivered"
    RETRY = "retry"
    REJECT = "reject"
    GONE = "gone"
    BLOCKED = "blocked"


class Sign(Enum):
    """What a failure says of the endpoint as a whole, beside the event's own fate.

    ``UNREACHABLE``: no connection came about, so no event can be the cause. ``BUSY``: it asked for less (429, or any
    Retry-After). ``STRAINED``: it may want less (503, 504, a time-out): believed when there are many.
    """

    NONE = "none"
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    STRAINED = "strained"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What to do next.

    ``reason`` is the dead letter's reason (closed list) should the event be buried now; ``retry_after_s`` is the
    least wait the endpoint asked for; ``summary`` is one line of at most 512 characters for people; ``status`` is the
    endpoint's, None when no reply came. ``sign``: see `Sign`.
    """

    kind: VerdictKind
    reason: str = ""
    summary: str = ""
    retry_after_s: float | None = None
    status: int | None = None
    sign: Sign = Sign.NONE


DELIVERED = Verdict(VerdictKind.DELIVERED)

_REJECTING = {
    FaultKind.UNDECODABLE: "undecodable",
    FaultKind.REFUSED: "rejected_4xx",
}
_SIGNS = {
    FaultKind.CONNECT: Sign.UNREACHABLE,
    FaultKind.DNS: Sign.UNREACHABLE,
    FaultKind.TLS: Sign.UNREACHABLE,
    FaultKind.CREDENTIAL: Sign.UNREACHABLE,
    FaultKind.TIMEOUT: Sign.STRAINED,
}
_STRAINED_STATUS = frozenset({503, 504})
_MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"
# RFC 9110 §5.6.7: IMF-fixdate, then the two obsolete forms a recipient must still read.
_DATES = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        r"\w{3}, (?P<d>\d\d) (?P<b>\w{3}) (?P<y>\d{4}) (?P<t>\d\d:\d\d:\d\d) GMT\Z",
        r"\w{6,9}, (?P<d>\d\d)-(?P<b>\w{3})-(?P<y>\d\d) (?P<t>\d\d:\d\d:\d\d) GMT\Z",
        r"\w{3} (?P<b>\w{3}) (?P<d>[ \d]\d) (?P<t>\d\d:\d\d:\d\d) (?P<y>\d{4})\Z",
    )
)


def verdict_of(result: Reply | Fault, reject_status: frozenset[int], now_unix: float) -> Verdict:
    """The verdict on one attempt. ``now_unix`` (seconds) is what a Retry-After date is measured against."""
    if type(result) is Reply and 200 <= result.status < 300:
        return DELIVERED
    if isinstance(result, Fault):
        return _verdict_of_fault(result)
    return _verdict_of_status(result, reject_status, now_unix)


def _verdict_of_status(reply: Reply, reject_status: frozenset[int], now_unix: float) -> Verdict:
    summary = f"status {reply.status} after {reply.elapsed_s:.3f} s"
    if reply.status == 410:
        return Verdict(VerdictKind.GONE, "gone_410", summary, status=reply.status)
    if reply.status in reject_status:
        return Verdict(VerdictKind.REJECT, "rejected_4xx", summary, status=reply.status)
    wait_s = None
    if reply.status in (429, 503) and reply.retry_after is not None:
        wait_s = retry_after_s(reply.retry_after, now_unix)
    if reply.status == 429 or wait_s is not None:
        sign = Sign.BUSY
    else:
        sign = Sign.STRAINED if reply.status in _STRAINED_STATUS else Sign.NONE
    return Verdict(VerdictKind.RETRY, "exhausted", summary, wait_s, reply.status, sign)


def _verdict_of_fault(fault: Fault) -> Verdict:
    line = " ".join(fault.detail.split())
    summary = f"{fault.kind.value}: {line} after {fault.elapsed_s:.3f} s"
    if len(summary) > SUMMARY_CHARACTERS_MAX:
        summary = summary[: SUMMARY_CHARACTERS_MAX - 1] + "…"
    if fault.kind is FaultKind.BLOCKED_ADDRESS:
        return Verdict(VerdictKind.BLOCKED, "blocked_address", summary)
    reason = _REJECTING.get(fault.kind)
    if reason is not None:
        return Verdict(VerdictKind.REJECT, reason, summary)
    sign = _SIGNS.get(fault.kind, Sign.NONE)
    return Verdict(VerdictKind.RETRY, "exhausted", summary, fault.retry_after_s, sign=sign)


def retry_after_s(text: str, now_unix: float) -> float | None:
    """Seconds a Retry-After header asks to wait (delay or HTTP-date), 0 to `RETRY_AFTER_S_MAX`; None when it is
    neither.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        # Nine digits are beyond any cap; int() of a megabyte of digits would be an attack on us.
        return RETRY_AFTER_S_MAX if len(text) > 9 else min(float(text), RETRY_AFTER_S_MAX)
    at_unix = _http_date_unix(text, now_unix) if len(text) <= 64 else None
    if at_unix is None:
        return None
    return min(max(at_unix - now_unix, 0.0), RETRY_AFTER_S_MAX)


def _http_date_unix(text: str, now_unix: float) -> float | None:
    for form in _DATES:
        found = form.match(text)
        if found is not None:
            break
    else:
        return None
    month, middle = divmod(_MONTHS.find(found["b"].lower()), 3)
    hour, minute, second = (int(part) for part in found["t"].split(":"))
    day, year = int(found["d"]), int(found["y"])
    if middle or not 1 <= day <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    if len(found["y"]) == 2:
        # RFC 9110: a two-digit year that looks more than 50 years ahead is the past century's.
        year += 2000
        if year > 1970 + now_unix / 31_556_952 + 50:
            year -= 100
    if not 1 <= year <= 9999:
        return None
    return float(calendar.timegm((year, month + 1, day, hour, minute, second)))
