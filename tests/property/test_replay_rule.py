"""The replay rule against a model: compare-and-set on a whole log, the same rows on every compacted one."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from pipeline.kafka.replay_rule import ReplayRule, Row, Write
from pipeline.record import Headers, Record

KEYS = ("a", "b")


class Step(NamedTuple):
    """A writer that has read all but the last ``behind`` records writes; ``value`` None deletes."""

    key: str
    behind: int
    value: bytes | None
    repairs: bool


steps = st.lists(
    st.builds(
        Step,
        key=st.sampled_from(KEYS),
        behind=st.sampled_from([0, 0, 0, 1, 2, 5]),
        value=st.one_of(st.none(), st.binary(max_size=2)),
        repairs=st.booleans(),
    ),
    max_size=25,
)


def replayed(records: list[Record]) -> ReplayRule:
    rule = ReplayRule()
    for record in records:
        rule.apply(record)
    return rule


def appended(log: list[Record], key: str, write: Write) -> Record:
    record = Record("t", 0, len(log), 0, key.encode(), write.value, write.headers)
    log.append(record)
    return record


def written(script: list[Step]) -> tuple[list[Record], dict[str, Row | None]]:
    """The log that `script` makes, and the rows by the model: a write counts iff nothing that counts came between."""
    log: list[Record] = []
    rule = ReplayRule()
    rows: dict[str, Row | None] = {}
    changed = dict.fromkeys(KEYS, -1)  # offset of the last record that counted
    for step in script:
        seen = max(0, len(log) - step.behind)
        view = replayed(log[:seen])
        if step.repairs and view.is_unsettled(step.key):
            write = view.repair(step.key)
            assert write is not None
        else:
            write = view.write(step.key, step.value)
        fresh = changed[step.key] < seen
        record = appended(log, step.key, write)
        assert rule.apply(record) is fresh
        if fresh:
            changed[step.key] = record.offset
            if not (step.repairs and view.is_unsettled(step.key)):
                rows[step.key] = None if step.value is None else Row(step.value, record.offset)
    return log, rows


def settled(log: list[Record]) -> list[Record]:
    """`log` with every unsettled key repaired, as the losers do."""
    rule = replayed(log)
    for key in KEYS:
        write = rule.repair(key) if rule.is_unsettled(key) else None
        if write is not None:
            rule.apply(appended(log, key, write))
    return log


def compacted(log: list[Record], until: int) -> list[Record]:
    """What the cleaner leaves when it has cleaned up to ``until``: there the last record of each key."""
    last = {record.key: record.offset for record in log[:until]}
    return [record for record in log if record.offset >= until or last[record.key] == record.offset]


@given(steps)
def test_a_write_counts_exactly_when_its_writer_had_seen_the_row_as_it_is(script: list[Step]) -> None:
    log, rows = written(script)
    assert replayed(log).rows() == {key: row for key, row in rows.items() if row is not None}


@given(steps, st.data())
def test_whoever_reads_a_compacted_log_reaches_the_same_rows(script: list[Step], data: st.DataObject) -> None:
    log = settled(written(script)[0])
    until = data.draw(st.integers(0, len(log)))
    assert replayed(compacted(log, until)).rows() == replayed(log).rows()


@given(steps, steps, st.data())
def test_processes_that_began_before_and_after_a_compaction_go_on_in_step(
    before: list[Step], after: list[Step], data: st.DataObject
) -> None:
    """The old process remembers what compaction took; writes of either are judged alike by both."""
    log = settled(written(before)[0])
    until = data.draw(st.integers(0, len(log)))
    old, new = replayed(log), replayed(compacted(log, until))
    young = compacted(log, until)
    for step in after:
        seen = max(0, len(log) - step.behind)
        view = replayed([record for record in data.draw(st.sampled_from([log, young])) if record.offset < seen])
        write = view.write(step.key, step.value)
        record = appended(log, step.key, write)
        young.append(record)
        assert old.apply(record) == new.apply(record)
        assert old.rows() == new.rows()


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.binary(max_size=3)),
            st.one_of(st.none(), st.binary(max_size=3)),
            st.lists(
                st.tuples(
                    st.sampled_from(["table-turn", "table-version", "table-deleted", "x"]),
                    st.one_of(st.none(), st.binary(max_size=4), st.integers(0, 30).map(lambda n: b"%d" % n)),
                ),
                max_size=3,
            ).map(tuple),
        ),
        max_size=20,
    )
)
def test_no_record_anybody_could_write_stops_the_replay(
    raws: list[tuple[bytes | None, bytes | None, Headers]],
) -> None:
    rule = ReplayRule()
    for offset, (key, value, headers) in enumerate(raws):
        rule.apply(Record("t", 0, offset, 0, key, value, headers))
    assert all(isinstance(row, Row) for row in rule.rows().values())
