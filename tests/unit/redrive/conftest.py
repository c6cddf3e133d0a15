from __future__ import annotations

import pytest

from tests.unit.redrive.graveyard import Graveyard


@pytest.fixture
async def yard() -> Graveyard:
    yard = Graveyard()
    await yard.open()
    return yard
