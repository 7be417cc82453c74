"""How many tasks a slot takes at a time."""

from __future__ import annotations

from typing import Any

import pytest

from ganga_kernel.condor.slots import fits

WHOLE = {"SlotType": "Partitionable", "Cpus": 0, "TotalSlotCpus": 8, "TotalSlotMemory": 16000}


@pytest.mark.parametrize(
    ("slot", "asked", "expected"),
    [
        (WHOLE, {"Cpus": 1}, 8),
        (WHOLE, {"Cpus": 3}, 2),
        (WHOLE, {"Cpus": 1, "Memory": 4000}, 4),
        (WHOLE, {"Cpus": 1, "Memory": 20000}, 0),
        (WHOLE, {"Cpus": 1, "GPUs": 1}, 0),
        ({"SlotType": "Static", "Cpus": 4, "Memory": 2000}, {"Cpus": 1, "Memory": 500}, 1),
        ({"SlotType": "Static", "Cpus": 4, "Memory": 2000}, {"Cpus": 1, "Memory": 5000}, 0),
    ],
)
def test_what_fits_into_a_slot(slot: dict[str, Any], asked: dict[str, int], expected: int) -> None:
    assert fits(slot, asked) == expected
