"""S9: nothing but `webhook/` opens connections to anybody but Kafka, so nothing goes round the guard."""

from __future__ import annotations

import re
from pathlib import Path

PIPELINE = Path(__file__).parents[3] / "pipeline"
CALLS = re.compile(
    r"^\s*(?:import|from) (?:aiohttp|httpx|requests|urllib3|urllib\.request|http\.client|websockets|pycurl)\b"
    r"|\b(?:open_connection|create_connection|sock_connect|urlopen)\(",
    re.MULTILINE,
)
# Who may: deliveries and all other calls; the brokers, spoken to in Kafka's protocol at addresses of the configuration;
# `pipeline dev`, which fetches its Kafka from Maven's fixed address before anything of a stranger's is read.
MAY = {"webhook/connect.py", "kafka/wire/connection.py", "embedded/distribution.py"}


def test_no_other_file_calls_out() -> None:
    found = {str(file.relative_to(PIPELINE)) for file in PIPELINE.rglob("*.py") if CALLS.search(file.read_text())}
    assert found - MAY == set(), "go through webhook/outbound.py"
    assert found >= MAY, "the gate itself finds what it looks for"
