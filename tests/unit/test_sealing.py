from __future__ import annotations

import pytest

from pipeline.errors import DeclarationInvalid, FormatUnreadable
from pipeline.sealing import KeyRing, needs_resealing, parse_key, seal, unseal

OLD, NEW = ("2026-01", bytes(32)), ("2026-11", bytes(range(32)))
NONCE = bytes(12)
SECRET = b"whsec_canary"


def test_what_is_sealed_opens_in_its_place() -> None:
    ring = KeyRing([OLD])
    text = seal(ring, SECRET, NONCE, b"subscription/orders")
    assert unseal(ring, text, b"subscription/orders") == SECRET
    assert text.startswith("sealed1.2026-01.")
    assert "canary" not in text


def test_what_is_sealed_does_not_open_in_another_place() -> None:
    ring = KeyRing([OLD])
    text = seal(ring, SECRET, NONCE, b"subscription/orders")
    with pytest.raises(FormatUnreadable):
        unseal(ring, text, b"subscription/other")


def test_after_a_rotation_old_texts_open_and_new_ones_are_sealed_with_the_new_key() -> None:
    before, after = KeyRing([OLD]), KeyRing([NEW, OLD])
    text = seal(before, SECRET, NONCE, b"x")
    assert unseal(after, text, b"x") == SECRET
    assert needs_resealing(after, text)
    again = seal(after, SECRET, NONCE, b"x")
    assert not needs_resealing(after, again)
    assert unseal(KeyRing([NEW]), again, b"x") == SECRET


def test_a_key_that_is_not_held_is_named() -> None:
    text = seal(KeyRing([OLD]), SECRET, NONCE, b"x")
    with pytest.raises(FormatUnreadable, match="2026-01"):
        unseal(KeyRing([NEW]), text, b"x")


def test_a_text_under_another_keys_id_does_not_open() -> None:
    text = seal(KeyRing([OLD]), SECRET, NONCE, b"x").replace("2026-01", "2026-11")
    with pytest.raises(FormatUnreadable):
        unseal(KeyRing([NEW, OLD]), text, b"x")


@pytest.mark.parametrize("place", range(16, 60, 7))
def test_a_changed_character_is_noticed(place: int) -> None:
    ring = KeyRing([OLD])
    text = seal(ring, SECRET, NONCE, b"x")
    changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    with pytest.raises(FormatUnreadable):
        unseal(ring, changed, b"x")


@pytest.mark.parametrize(
    "text", ["", "sealed1", "sealed1.k.", "sealed1.k.AAAA", "sealed2.2026-01.AAAA", "sealed1.2026-01.A+=", "x" * 99]
)
def test_what_is_no_sealed_text_is_refused(text: str) -> None:
    with pytest.raises(FormatUnreadable):
        unseal(KeyRing([OLD]), text, b"x")


@pytest.mark.parametrize(
    "keys", [[], [OLD, OLD], [("k", bytes(31))], [("", bytes(32))], [("a.b", bytes(32))], [("k" * 33, bytes(32))]]
)
def test_a_ring_refuses_keys_it_cannot_use(keys: list[tuple[str, bytes]]) -> None:
    with pytest.raises(DeclarationInvalid):
        KeyRing(keys)


def test_a_nonce_of_another_length_is_refused() -> None:
    with pytest.raises(DeclarationInvalid):
        seal(KeyRing([OLD]), SECRET, bytes(11), b"x")


def test_a_key_reads_from_its_configured_form() -> None:
    assert parse_key("k1:" + "A" * 43 + "=") == ("k1", bytes(32))


@pytest.mark.parametrize("text", ["", "k1", "k1:", ":AAAA", "k1:canaryAA", "k 1:" + "A" * 43 + "=", "k1:é"])
def test_a_malformed_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        parse_key(text)
    assert "canary" not in str(caught.value)


def test_a_ring_shows_ids_and_no_keys() -> None:
    assert repr(KeyRing([NEW, OLD])) == "KeyRing(2026-11, 2026-01)"
