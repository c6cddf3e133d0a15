from __future__ import annotations

import pytest

from pipeline.delivery.verdict import (
    DELIVERED,
    Fault,
    FaultKind,
    Reply,
    Sign,
    VerdictKind,
    retry_after_s,
    verdict_of,
)

NONE: frozenset[int] = frozenset()
NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples


def reply(status: int, retry_after: str | None = None) -> Reply:
    return Reply(status, retry_after, 0.25)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_any_2xx_is_delivered_and_costs_no_new_verdict(status: int) -> None:
    assert verdict_of(reply(status), NONE, NOW) is DELIVERED


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 400, 401, 404, 413, 429, 500, 502, 503, 504, 599, 999])
def test_every_other_status_is_tried_again(status: int) -> None:
    verdict = verdict_of(reply(status), NONE, NOW)
    assert (verdict.kind, verdict.reason, verdict.retry_after_s) == (VerdictKind.RETRY, "exhausted", None)
    assert str(status) in verdict.summary


def test_410_is_gone_whatever_is_configured() -> None:
    verdict = verdict_of(reply(410), frozenset({410}), NOW)
    assert (verdict.kind, verdict.reason) == (VerdictKind.GONE, "gone_410")


@pytest.mark.parametrize("status", [400, 422, 429, 503])
def test_a_rejecting_status_buries_at_once(status: int) -> None:
    verdict = verdict_of(reply(status, "60"), frozenset({400, 422, 429, 503}), NOW)
    assert (verdict.kind, verdict.reason) == (VerdictKind.REJECT, "rejected_4xx")


def test_a_success_cannot_be_rejected() -> None:
    assert verdict_of(reply(200), frozenset({200}), NOW) is DELIVERED


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_for_429_and_503(status: int) -> None:
    assert verdict_of(reply(status, "17"), NONE, NOW).retry_after_s == 17


def test_retry_after_means_nothing_elsewhere() -> None:
    assert verdict_of(reply(500, "17"), NONE, NOW).retry_after_s is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        ("3600", 3600),
        ("3601", 3600),
        ("1000000000", 3600),
        ("9" * 5000, 3600),
        ("Sun, 06 Nov 1994 08:50:07 GMT", 30),
        ("Sunday, 06-Nov-94 08:50:07 GMT", 30),
        ("Sun Nov  6 08:50:07 1994", 30),
        ("Sun, 06 Nov 1994 08:49:07 GMT", 0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", 3600),
        ("Tue, 29 Feb 2000 23:59:60 GMT", 3600),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 32 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("Sun, 06 anf 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 PST", None),
        ("٣", None),
        ("x" * 100_000, None),
    ],
)
def test_retry_after_reads_seconds_and_all_three_dates(text: str, expected: float | None) -> None:
    assert retry_after_s(text, NOW) == expected


def test_a_two_digit_year_far_ahead_is_the_last_centurys() -> None:
    assert retry_after_s("Sunday, 06-Nov-94 08:49:37 GMT", 1_795_219_200.0) == 0


@pytest.mark.parametrize(
    "kind",
    [k for k in FaultKind if k not in (FaultKind.BLOCKED_ADDRESS, FaultKind.UNDECODABLE, FaultKind.REFUSED)],
)
def test_a_fault_is_tried_again(kind: FaultKind) -> None:
    verdict = verdict_of(Fault(kind, "why", 1.0), NONE, NOW)
    assert (verdict.kind, verdict.reason) == (VerdictKind.RETRY, "exhausted")
    assert verdict.summary == f"{kind.value}: why after 1.000 s"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.UNDECODABLE, "undecodable"),
        (FaultKind.REFUSED, "rejected_4xx"),
    ],
)
def test_what_no_retry_can_mend_is_buried_at_once(kind: FaultKind, reason: str) -> None:
    verdict = verdict_of(Fault(kind, "why", 0.0), NONE, NOW)
    assert (verdict.kind, verdict.reason) == (VerdictKind.REJECT, reason)


def test_an_address_that_may_not_be_called_stops_the_reading_and_buries_nothing() -> None:
    """S1: no ladder of retries; and a resolver that slipped buries no backlog."""
    verdict = verdict_of(Fault(FaultKind.BLOCKED_ADDRESS, "x may not be called", 0.0), NONE, NOW)
    assert (verdict.kind, verdict.reason) == (VerdictKind.BLOCKED, "blocked_address")
    assert "x may not be called" in verdict.summary


def test_a_summary_is_one_line_of_at_most_512_characters() -> None:
    verdict = verdict_of(Fault(FaultKind.CONNECT, "a\r\n" * 1000, 0.0), NONE, NOW)
    assert len(verdict.summary) == 512
    assert "\n" not in verdict.summary


def test_a_reply_body_is_no_part_of_the_summary() -> None:
    assert "secret" not in verdict_of(Reply(500, None, 0.1, b"secret"), NONE, NOW).summary


def test_a_fault_may_ask_for_a_least_wait() -> None:
    verdict = verdict_of(Fault(FaultKind.RAISED, "later", 1.0, retry_after_s=30.0), NONE, NOW)
    assert (verdict.kind, verdict.retry_after_s) == (VerdictKind.RETRY, 30.0)


@pytest.mark.parametrize(
    ("result", "sign"),
    [
        (Reply(500, None, 0.1), Sign.NONE),
        (Reply(429, None, 0.1), Sign.BUSY),
        (Reply(503, "3", 0.1), Sign.BUSY),
        (Reply(503, None, 0.1), Sign.STRAINED),
        (Reply(504, None, 0.1), Sign.STRAINED),
        (Fault(FaultKind.TIMEOUT, "", 15.0), Sign.STRAINED),
        (Fault(FaultKind.RESET, "", 0.1), Sign.NONE),
        (Fault(FaultKind.CONNECT, "", 0.1), Sign.UNREACHABLE),
        (Fault(FaultKind.DNS, "", 0.1), Sign.UNREACHABLE),
        (Fault(FaultKind.TLS, "", 0.1), Sign.UNREACHABLE),
    ],
)
def test_a_failure_says_what_it_tells_of_the_endpoint(result: Reply | Fault, sign: Sign) -> None:
    assert verdict_of(result, frozenset(), 0.0).sign is sign
