"""Reading by request: pages of a topic by cursor, and cursors kept under a name."""

from __future__ import annotations

from pipeline.pull.cursors import NamedCursors
from pipeline.pull.keeper import CursorKeeper, KeeperSettings
from pipeline.pull.named import CursorRow, CursorSpec, CursorStatus, PartitionPosition, PointerMissing
from pipeline.pull.reader import Page, Reader, ReaderSettings, RecordPage, Render, Wanted
from pipeline.pull.rendering import Rendering
from pipeline.pull.sweep import CursorOutside, PartitionGap

__all__ = [
    "CursorKeeper",
    "CursorOutside",
    "CursorRow",
    "CursorSpec",
    "CursorStatus",
    "KeeperSettings",
    "NamedCursors",
    "Page",
    "PartitionGap",
    "PartitionPosition",
    "PointerMissing",
    "Reader",
    "ReaderSettings",
    "RecordPage",
    "Render",
    "Rendering",
    "Wanted",
]
