"""A pointer as it is committed and read back."""

from __future__ import annotations

import pytest

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.pointer import CHARACTERS_MAX, Pointer, is_ours, read_pointer
from pipeline.errors import DeclarationInvalid

POINTER = Pointer(
    epoch=1732150000000,
    owner="bridge-1",
    offset=1000,
    finished=AckMap([(1001, 1004), (1010, 1011)]),
    attempts={1000: (3, 1732150000), 1500: (1, 0)},
)


def test_the_text_is_prefix_epoch_owner_base_map_attempts_terminator() -> None:
    assert POINTER.metadata() == "ep1.1732150000000.bridge-1.1000.AQMGAQ.AAPwhfq5BvQDAQA.$"


def test_a_pointer_is_read_back_as_it_was_written() -> None:
    assert read_pointer(1000, POINTER.metadata()) == POINTER


def test_a_pointer_of_nothing_but_an_offset_is_read_back() -> None:
    bare = Pointer(epoch=0, owner="a", offset=0)
    assert bare.metadata() == "ep1.0.a.0...$"
    assert read_pointer(0, bare.metadata()) == bare


@pytest.mark.parametrize("after", ["\0", "\0\x17garbage", "ep1.9.x.1...$", "$", ".$", "é\ud800"])
def test_what_follows_the_terminator_is_ignored(after: str) -> None:
    assert read_pointer(1000, POINTER.metadata() + after) == POINTER


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_text_without_its_end_is_not_believed(cut: int) -> None:
    assert read_pointer(1000, POINTER.metadata()[:-cut]) is None


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "offset commit by a tool",
        " ep1.1.a.1000...$",
        "ep2.1.a.1000...$",
        "ep1.-1.a.1000...$",
        "ep1.1..1000...$",
        "ep1.1.a b.1000...$",
        "ep1.1.a.1000..$",
        "ep1.1.a.1000.!.!.$",
        "ep1.١.a.1000...$",
        "ep1.1.a.99999999999999999999...$",
    ],
)
def test_foreign_metadata_is_no_pointer(metadata: str | None) -> None:
    assert read_pointer(1000, metadata) is None


@pytest.mark.parametrize("offset", [0, 999, 1001])
def test_of_another_base_only_epoch_and_owner_count(offset: int) -> None:
    assert read_pointer(offset, POINTER.metadata()) == Pointer(epoch=1732150000000, owner="bridge-1", offset=offset)


@pytest.mark.parametrize(
    "metadata", ["ep1.5.a.1000.AQ..$", "ep1.5.a.1000.AQM.AQ.$", "ep1.5.a.1000.A..$", "ep1.5.a.1000..gA.$"]
)
def test_a_map_or_attempts_that_cannot_be_read_are_left_out(metadata: str) -> None:
    assert read_pointer(1000, metadata) == Pointer(epoch=5, owner="a", offset=1000)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [(None, False), ("", False), ("tool", False), ("ep1.garbage", True), ("ep1.1.a.1...$", True)],
)
def test_our_prefix_tells_ours_from_others(metadata: str | None, expected: bool) -> None:
    assert is_ours(metadata) is expected


def test_a_pointer_never_exceeds_what_a_commit_takes() -> None:
    crowded = Pointer(
        epoch=10**17,
        owner="w" * 100,
        offset=10**15,
        finished=AckMap((10**15 + 3 * n, 10**15 + 3 * n + 1) for n in range(1, 20_000)),
        attempts={10**15 + 3 * n: (5, 1732150000) for n in range(10_000)},
    )
    text = crowded.metadata()
    assert CHARACTERS_MAX - 10 <= len(text) <= CHARACTERS_MAX
    back = read_pointer(10**15, text)
    assert back is not None
    assert set(back.finished.ranges) < set(crowded.finished.ranges)
    assert back.attempts.items() < crowded.attempts.items()
    assert list(back.attempts) == sorted(crowded.attempts)[: len(back.attempts)], "the lowest offsets are kept"


def test_attempts_below_the_offset_are_left_out() -> None:
    pointer = Pointer(epoch=1, owner="a", offset=10, attempts={9: (1, 5), 10: (2, 5)})
    back = read_pointer(10, pointer.metadata())
    assert back is not None
    assert back.attempts == {10: (2, 5)}


def test_a_time_before_1970_is_written_as_1970() -> None:
    back = read_pointer(10, Pointer(epoch=1, owner="a", offset=10, attempts={10: (2, -5)}).metadata())
    assert back is not None
    assert back.attempts == {10: (2, 0)}


@pytest.mark.parametrize("owner", ["", "a.b", "a b", "é", "w" * 101, "a\n"])
def test_an_owner_that_could_not_be_read_back_is_refused(owner: str) -> None:
    with pytest.raises(DeclarationInvalid, match="owner"):
        Pointer(epoch=1, owner=owner, offset=0)
