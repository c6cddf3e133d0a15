"""Reading by request: pages of a topic by cursor, and cursors kept under a name."""

from __future__ import annotations

from pipeline.pull.reader import Page, Reader, ReaderSettings, RecordPage, Wanted
from pipeline.pull.sweep import CursorTooOld, PartitionGap

__all__ = ["CursorTooOld", "Page", "PartitionGap", "Reader", "ReaderSettings", "RecordPage", "Wanted"]
