from __future__ import annotations

import json

import pytest

from pipeline.errors import SignatureInvalid
from pipeline.receiver import Receiver, ReceiverSettings
from pipeline.receiver.received import Headers, received_of
from pipeline.signing import Signer, new_v1_secret, v1a_public

KEY, OTHER, SEED = bytes(32), bytes(range(32)), bytes(range(32, 64))
NOW = 1_795_219_200.0


def receiver(secrets: list[str] | None = None, **settings: object) -> Receiver:
    made = ReceiverSettings(**settings)  # type: ignore[arg-type] # each test names fields that exist
    return Receiver([new_v1_secret(KEY)] if secrets is None else secrets, settings=made, wall_clock=lambda: NOW)


def delivery(id_: str = "evt_1", body: bytes = b"{}", signer: Signer | None = None, **more: str) -> dict[str, str]:
    signature = (signer or Signer([KEY])).sign(id_.encode(), b"1795219200", body)
    sent = {"webhook-id": id_, "webhook-timestamp": "1795219200", "webhook-signature": signature.decode()}
    return sent | {"webhook-attempt": "1"} | {name.replace("_", "-"): value for name, value in more.items()}


def post(to: Receiver, headers: Headers, body: bytes = b"{}") -> int:
    return to.answer("POST", "/hook", headers, body)[0]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_delivery_that_verifies_is_taken(method: str) -> None:
    assert receiver().answer(method, "/any/path", delivery(), b"{}") == (204, b"")


def test_a_delivery_that_does_not_verify_is_refused_and_remembered() -> None:
    to = receiver()
    status, why = to.answer("POST", "/hook", delivery(), b"{changed}")
    assert status == 401
    assert b"webhook-signature" in why
    assert [(each.id, each.status) for each in to.history] == [("evt_1", 401)]


def test_without_a_secret_nothing_is_taken() -> None:
    to = receiver([])
    assert post(to, delivery()) == 401
    to.trust(new_v1_secret(KEY))
    assert post(to, delivery()) == 204


def test_secrets_may_be_added_for_a_rotation() -> None:
    to = receiver()
    to.trust(new_v1_secret(OTHER))
    to.trust(v1a_public(SEED))
    for signer in (Signer([KEY]), Signer([OTHER]), Signer([], [SEED])):
        assert post(to, delivery(signer=signer)) == 204
    with pytest.raises(SignatureInvalid):
        to.trust("nonsense")


def test_a_second_judge_may_refuse() -> None:
    def judge(headers: Headers, body: bytes) -> None:
        raise ValueError("no")

    to = Receiver([new_v1_secret(KEY)], also_verify=judge, wall_clock=lambda: NOW)
    assert to.answer("POST", "/", delivery(), b"{}") == (401, b"ValueError: no")


def test_it_fails_for_as_long_as_told() -> None:
    to = receiver(fail_status=502)
    to.fail_for(3600)
    assert post(to, delivery()) == 502
    to.fail_for(0)
    assert post(to, delivery()) == 204


@pytest.mark.parametrize("poison", ["evt_1", "event-1"])
def test_poison_fails_by_its_webhook_id_or_its_own(poison: str) -> None:
    to = receiver(poison=frozenset({poison}), poison_status=422)
    assert post(to, delivery(ce_id="event-1")) == 422
    assert post(to, delivery("evt_2", ce_id="event-2")) == 204


def test_a_delivery_that_was_taken_before_is_marked() -> None:
    to = receiver(poison=frozenset({"evt_9"}))
    for id_ in ("evt_1", "evt_9", "evt_9", "evt_1"):
        post(to, delivery(id_))
    assert [(each.id, each.repeated) for each in to.history] == [
        ("evt_1", False),
        ("evt_9", False),
        ("evt_9", False),
        ("evt_1", True),
    ]


def test_history_is_bounded_and_the_counts_are_not() -> None:
    to = receiver(history_max=3)
    for number in range(10):
        post(to, delivery(f"evt_{number}"))
    assert [each.id for each in to.history] == ["evt_7", "evt_8", "evt_9"]
    assert to.statuses == {204: 10}
    assert len(to._delivered) == 3


def test_history_is_told_as_json_and_forgotten_on_request() -> None:
    to = receiver()
    post(to, delivery(ce_id="8f1c", ce_partitionkey="a%20b", ce_sequence="00000000000000001042"))
    status, body = to.answer("GET", "/received", {}, b"")
    (entry,) = json.loads(body)["received"]
    assert status == 200
    assert (entry["id"], entry["event"], entry["key"], entry["seq"], entry["attempt"]) == (
        "evt_1",
        "8f1c",
        "a b",
        1042,
        1,
    )
    assert (entry["status"], entry["at"], entry["path"], entry["bytes"]) == (204, NOW, "/hook", 2)
    assert to.answer("DELETE", "/received", {}, b"")[0] == 204
    assert json.loads(to.answer("GET", "/received", {}, b"")[1]) == {"received": []}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/healthz", 200), ("GET", "/", 404), ("PATCH", "/hook", 405), ("DELETE", "/x", 405)],
)
def test_other_requests_are_answered_plainly(method: str, path: str, status: int) -> None:
    assert receiver().answer(method, path, {}, b"")[0] == status


def test_an_envelope_is_looked_into() -> None:
    body = b'{"specversion":"1.0","id":"8f1c","source":"/shop","type":"t","partitionkey":"k","sequence":"7"}'
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    seen = received_of(headers, body, at=NOW, path="/", status=204, problem="")
    assert (seen.event, seen.source, seen.type, seen.key, seen.seq) == ("8f1c", "/shop", "t", "k", 7)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/cloudevents+json"}, b"{broken"),
        ({"ce-id": "%FF%FE", "ce-sequence": "x", "webhook-attempt": "-1"}, b""),
        ({"ce-sequence": "9" * 5000, "webhook-attempt": "²"}, b""),
    ],
)
def test_what_cannot_be_read_is_remembered_all_the_same(headers: dict[str, str], body: bytes) -> None:
    seen = received_of(headers, body, at=NOW, path="/", status=401, problem="")
    assert (seen.seq, seen.attempt) == (None, 0)
