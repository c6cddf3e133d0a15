"""Subscriptions made, changed, paused, resumed and deleted."""

from __future__ import annotations

from pipeline.subscriptions.declared import DeclarationsInvalid
from pipeline.subscriptions.standing import PartitionLag
from pipeline.subscriptions.subscriptions import Outcome, Status, Subscriptions, SubscriptionTables

__all__ = ["DeclarationsInvalid", "Outcome", "PartitionLag", "Status", "SubscriptionTables", "Subscriptions"]
