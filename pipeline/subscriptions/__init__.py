"""Subscriptions made, changed, paused, resumed and deleted; their secrets; where they stand."""

from __future__ import annotations

from pipeline.subscriptions.differences import Difference
from pipeline.subscriptions.faults import DeclarationsInvalid, EndpointBlocked, FiltersInvalid
from pipeline.subscriptions.means import Admission, Beside, Outcome, SubscriptionTables
from pipeline.subscriptions.probing import Probing
from pipeline.subscriptions.reset_plan import ResetAsked, ResetDone, ResetPart, ResetPlan, WouldClamp
from pipeline.subscriptions.resets import Resets
from pipeline.subscriptions.rows import Ledgers, Rows, shown_row
from pipeline.subscriptions.secrets import OVERLAP_S, OVERLAP_S_MAX, Sealer, take_secrets, unsealed
from pipeline.subscriptions.standing import PartitionLag, Standing
from pipeline.subscriptions.subscriptions import Planned, Status, Subscriptions
from pipeline.subscriptions.trials import Trial, Trials

__all__ = [
    "OVERLAP_S",
    "OVERLAP_S_MAX",
    "Admission",
    "Beside",
    "DeclarationsInvalid",
    "Difference",
    "EndpointBlocked",
    "FiltersInvalid",
    "Ledgers",
    "Outcome",
    "PartitionLag",
    "Planned",
    "Probing",
    "ResetAsked",
    "ResetDone",
    "ResetPart",
    "ResetPlan",
    "Resets",
    "Rows",
    "Sealer",
    "Standing",
    "Status",
    "SubscriptionTables",
    "Subscriptions",
    "Trial",
    "Trials",
    "WouldClamp",
    "shown_row",
    "take_secrets",
    "unsealed",
]
