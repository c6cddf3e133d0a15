"""What the delivery machine draws: settings, records, results, and what happens to owners."""

from __future__ import annotations

from hypothesis import strategies as st

from pipeline.delivery.settings import BreakerSettings, CoreSettings, LimiterSettings
from pipeline.delivery.verdict import Sign, Verdict, VerdictKind
from pipeline.subscription import RetryPolicy

BATCH_MAX = 6
VALUE_BYTES_MAX = 30
# A key is one byte.
BATCH_BYTES_MAX = BATCH_MAX * (VALUE_BYTES_MAX + 1)
KEYS = st.sampled_from([b"a", b"a", b"b", b"", None])
DRAWS = st.floats(0, 1, exclude_max=True)
PICKS = st.integers(0, 1_000)
SECONDS = st.sampled_from([0.0, 0.3, 1.0, 5.0])
# Gap before it, key, bytes of its value.
New = tuple[int, bytes | None, int]
RECORDS = st.lists(st.tuples(st.integers(0, 3), KEYS, st.integers(0, VALUE_BYTES_MAX)), min_size=2, max_size=BATCH_MAX)

VERDICTS = {
    "fail": Verdict(VerdictKind.RETRY, "exhausted"),
    "asked": Verdict(VerdictKind.RETRY, "exhausted", "", 5.0, 503, Sign.BUSY),
    "asked nothing": Verdict(VerdictKind.RETRY, "exhausted", "", 0.0, 429, Sign.BUSY),
    "refused": Verdict(VerdictKind.RETRY, "exhausted", sign=Sign.UNREACHABLE),
    "strained": Verdict(VerdictKind.RETRY, "exhausted", "", None, 503, Sign.STRAINED),
    "reject": Verdict(VerdictKind.REJECT, "rejected_4xx"),
    "gone": Verdict(VerdictKind.GONE, "gone_410"),
}
# What happens to an attempt or append that is under way, to a partition, and to a result that comes too late.
CHANGES = st.sampled_from(
    ["drain", "revoke", "handed over", "handed over", "crashed", "crashed and restored", "moved", "compacted"]
)
OUTCOMES = st.sampled_from(
    ["ok"] * 5
    + ["batch"] * 2
    + ["untried"]
    + ["reject"] * 2
    + ["fail"] * 2
    + ["asked", "asked nothing", "refused", "strained", "vanished"]
)
DOWN = ("fail", "strained", "hangs", "fail", "asked", "refused", "fail")
LATE = st.sampled_from(["ok", "fail", "gone", "payload", "vanished", "buried", "bury failed", "untried"])
RESULTS = st.lists(st.tuples(PICKS, OUTCOMES), min_size=1, max_size=8)
Turn = tuple[int, list[New], list[tuple[int, str]], float]

SETTINGS = st.builds(
    CoreSettings,
    ordering=st.sampled_from(["key", "key", "partition", "none"]),
    on_dead_letter=st.sampled_from(["continue", "park", "block"]),
    retry=st.builds(
        RetryPolicy,
        schedule_s=st.sampled_from([(), (1.0,), (1.0, 8.0)]),
        give_up_after_s=st.sampled_from([20.0, 10_000.0]),
    ),
    limiter=st.builds(
        LimiterSettings,
        in_flight_max=st.integers(1, 4),
        slow_max=st.integers(0, 3),
        in_flight_min=st.just(1),
        slow_start=st.integers(1, 2),
        rate_per_s=st.sampled_from([None, None, 3.0]),
        burst_s=st.sampled_from([0.1, 1.0]),
    ),
    breaker=st.builds(
        BreakerSettings,
        failures_to_open=st.sampled_from([2, 3, 1_000]),
        lanes_to_open=st.integers(1, 2),
        patience=st.sampled_from([0.0, 0.0, 4.0]),
        few_failures=st.sampled_from([3, 1_000]),
        few_after_s=st.just(2.0),
        unreachable_to_open=st.sampled_from([2, 1_000]),
        probe_wait_s_max=st.just(4.0),
    ),
    held_bytes_max=st.sampled_from([40, 1_000]),
    positions_max=st.sampled_from([5, 1_000]),
    buries_max=st.integers(1, 2),
    fetches_max=st.sampled_from([0, 1, 2, 5]),
)
