"""The tests of the core and the simulation of the whole notice every planted fault, and nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.faults import FAULTS, Fault
from tests.mutation.planting import FaultDoesNotApply, kill_matrix, killers, plant, simulated, simulated_matrix
from tests.mutation.system import SYSTEM_FAULTS


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_can_be_planted(fault: Fault, tmp_path: Path) -> None:
    plant(fault, tmp_path)
    path = tmp_path / "pipeline" / "delivery" / fault.file
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("fault", SYSTEM_FAULTS, ids=lambda fault: fault.name)
def test_every_fault_around_the_core_can_be_planted(fault: Fault, tmp_path: Path) -> None:
    plant(fault, tmp_path, of_system=True)
    path = tmp_path / "pipeline" / fault.file
    compile(path.read_text(), str(path), "exec")


def test_a_fault_that_no_longer_applies_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FaultDoesNotApply, match="0 times 'not there'"):
        plant(FAULTS[0]._replace(before="not there"), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_a_fault_everything_passes() -> None:
    assert not any(killers(None).values())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_fault_is_killed() -> None:
    alive = [fault.name for fault, killed in kill_matrix(FAULTS) if fault is not None and not any(killed.values())]
    assert alive == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_a_fault_the_simulation_finds_nothing() -> None:
    assert simulated(None) == ""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_simulation_notices_every_fault_around_the_core() -> None:
    alive = [fault.name for fault, said in simulated_matrix(SYSTEM_FAULTS) if fault is not None and not said]
    assert alive == []
