"""The states of a lane, and what its latest attempt says of the next.

::

    READY --sent--> IN_FLIGHT --hangs--> SLOW
    READY --sent, its last attempt hung--> SLOW
    IN_FLIGHT, SLOW --delivered--> next event READY, or the lane ends
    IN_FLIGHT, SLOW --failed--> WAITING --due, or called as a probe--> READY
    IN_FLIGHT, SLOW --failed, breaker open--> READY                       (attempt not counted)
    IN_FLIGHT, SLOW --rejected or spent--> BURYING --append acknowledged--> next event READY (continue),
                                                                            next event BURYING (park)
    IN_FLIGHT, SLOW --rejected or spent--> HELD (block) --released by an operator--> READY
    BURYING --append failed--> BURY_WAITING --due--> BURYING
"""

from __future__ import annotations

from enum import Enum


class LaneState(Enum):
    READY = "ready"
    IN_FLIGHT = "in flight"
    SLOW = "slow"
    WAITING = "waiting"
    BURYING = "burying"
    BURY_WAITING = "bury waiting"
    HELD = "held"
    FETCHING = "fetching"


class Standing(Enum):
    """What the lane's latest attempt says of the next: ``NEW`` nothing, ``PROVEN`` it was delivered in time,
    ``SUSPECT`` it hung.
    """

    NEW = "new"
    PROVEN = "proven"
    SUSPECT = "suspect"


# Enum members are looked up through their class; the hot path compares these instead.
NEW, PROVEN, SUSPECT = Standing.NEW, Standing.PROVEN, Standing.SUSPECT
READY, IN_FLIGHT, SLOW, WAITING = LaneState.READY, LaneState.IN_FLIGHT, LaneState.SLOW, LaneState.WAITING
BURYING, BURY_WAITING, HELD = LaneState.BURYING, LaneState.BURY_WAITING, LaneState.HELD
FETCHING = LaneState.FETCHING
