"""`pipeline receiver` prints a line for each delivery."""

from __future__ import annotations

from pipeline.cli.receiver import line_of
from pipeline.receiver import Received


def received(**changes: object) -> Received:
    usual = {"at": 0.25, "path": "/", "status": 204, "id": "evt_a_0_1", "type": "shop.order", "key": "42", "attempt": 1}
    return Received(**{**usual, **changes})  # type: ignore[arg-type]  # fields of several types


def test_a_delivery_is_one_line() -> None:
    assert line_of(received()) == "00:00:00.250  204  attempt 1  evt_a_0_1  shop.order  key 42"


def test_a_repeated_or_replayed_delivery_says_so() -> None:
    assert line_of(received(repeated=True, replay="r1")).endswith("again  replay r1")


def test_what_is_wrong_is_told_and_cannot_move_the_cursor() -> None:
    line = line_of(received(status=401, type="\x1b[2J", problem="webhook-signature does not match"))
    assert "\x1b" not in line
    assert line.endswith("webhook-signature does not match")
