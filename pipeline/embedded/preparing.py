"""Everything a first start would do, done ahead: for images, CI caches and ``make setup``."""

from __future__ import annotations

from pipeline.embedded.archive import ArchiveMaking
from pipeline.embedded.distribution import Tell, ensure_distribution
from pipeline.embedded.java import find_java


def prepare(tell: Tell = lambda _: None) -> None:
    """Fetch Kafka and make the class-data archive for this machine's Java; quick when that is done already."""
    distribution, java = ensure_distribution(tell), find_java()
    making = ArchiveMaking.begin(distribution, java)
    if making is not None:
        tell(f"making the class-data archive for Java {java.version}")
        made = making.wait()
        tell("done: Kafka starts in half the time now" if made else "this Java makes no archive; Kafka runs without")
