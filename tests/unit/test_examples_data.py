"""The example data a newcomer meets first is usable: schemas, declarations, GitHub's payloads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.format.avro_codec import AvroCodec

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / "examples" / "github"
# What a shop's service would send, one per schema, with only the fields that have no default.
SMALLEST: dict[str, dict[str, object]] = {
    "customer": {"customer_id": "7", "name": "Ada"},
    "order": {"order_id": "42", "customer_id": "7", "status": "PLACED", "total_cents": 1999},
    "payment": {"payment_id": "p1", "order_id": "42", "status": "CAPTURED", "amount_cents": 1999},
}


def test_every_shipped_schema_is_tried_here() -> None:
    assert {file.stem for file in (ROOT / "schemas").glob("*.avsc")} == set(SMALLEST)


@pytest.mark.parametrize("subject", SMALLEST)
def test_a_shipped_schema_takes_the_smallest_event(subject: str) -> None:
    codec = AvroCodec((ROOT / "schemas" / f"{subject}.avsc").read_text())
    decoded = json.loads(codec.decode_to_json(codec.encode_json(json.dumps(SMALLEST[subject]).encode())))
    assert decoded.items() >= SMALLEST[subject].items()


def test_the_github_payloads_are_objects_of_many_events_and_small() -> None:
    files = sorted(GITHUB.glob("*.json"))
    assert all(isinstance(json.loads(file.read_bytes()), dict) for file in files)
    assert len({file.name.split(".")[0] for file in files}) >= 20
    assert sum(file.stat().st_size for file in files) <= 400_000


def test_the_github_payloads_say_where_they_come_from_and_under_which_licence() -> None:
    assert "@octokit/webhooks-examples" in (GITHUB / "README.md").read_text()
    assert "MIT" in (GITHUB / "LICENSE").read_text()
