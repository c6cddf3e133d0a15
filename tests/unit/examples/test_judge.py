"""The demo's judge finds what is wrong, so that a demo that ends well says something."""

from __future__ import annotations

import pytest

from examples.story.judge import Place, Verdicts, by_key, order_violations, place_of, tries
from pipeline.receiver import Received


def seen(offset: int, status: int = 204, key: str = "a", partition: int = 0, replay: str | None = None) -> Received:
    return Received(at=0.0, path="/", status=status, id=f"evt_topic_{partition}_{offset}", key=key, replay=replay)


def test_a_webhook_id_tells_where_its_event_lies() -> None:
    assert place_of("evt_ks4urrr3n5_3_9") == Place("ks4urrr3n5", 3, 9)


def test_an_id_of_another_form_is_none_of_ours() -> None:
    with pytest.raises(ValueError, match="msg"):
        place_of("msg_a_1_2")


def test_retries_until_success_are_in_order() -> None:
    assert order_violations([seen(1, 503), seen(1, 503), seen(1), seen(4), seen(2, key="b")]) == []


def test_going_on_after_an_event_was_given_up_is_in_order() -> None:
    assert order_violations([seen(1, 500), seen(1, 500), seen(2)]) == []


def test_a_later_event_first_is_out_of_order() -> None:
    assert len(order_violations([seen(2), seen(1)])) == 1


def test_a_later_event_while_the_one_ahead_is_retried_is_out_of_order() -> None:
    assert len(order_violations([seen(1, 503), seen(2), seen(1)])) == 1


def test_a_delivery_after_success_is_out_of_order() -> None:
    assert len(order_violations([seen(1), seen(1)])) == 1


def test_partitions_and_keys_are_no_order_to_each_other() -> None:
    assert order_violations([seen(5), seen(1, partition=1), seen(2, key="b")]) == []


def test_a_redrive_breaks_no_order() -> None:
    assert order_violations([seen(5), seen(1, replay="r")]) == []


def test_every_request_counts_as_a_try_and_only_deliveries_belong_to_a_key() -> None:
    attempts = [seen(1, 503), seen(1), seen(2)]
    assert tries(attempts) == {"evt_topic_0_1": 2, "evt_topic_0_2": 1}
    assert by_key(attempts) == {"a": [attempts[1], attempts[2]]}


def test_a_check_that_does_not_hold_is_named_with_what_was_found() -> None:
    verdicts = Verdicts()
    assert verdicts.check("this holds", holds=True)
    assert not verdicts.check("this does not", holds=[], found=3)
    assert (verdicts.held, verdicts.failed) == (["this holds"], ["this does not: 3"])
