"""Tests of :mod:`sim.bench.row_unit` on a design whose input ``fault`` selects a fault.

The environment variable ``SIM_FAULTS`` lists them as ``number:test``, with blanks between; the test
of each is called ``test__number``. All run in one simulation.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import cocotb

from ..bench import row_unit

__all__: list[str] = []


def _of_fault(test: str, number: int) -> Callable:
    async def run(dut):
        dut.fault.value = number
        await getattr(row_unit, test).func(dut)

    run.__name__ = run.__qualname__ = f"{test}__{number}"
    return cocotb.test()(run)


for _word in os.environ.get("SIM_FAULTS", "").split():
    _number, _test = _word.split(":")
    globals()[f"{_test}__{_number}"] = _of_fault(_test, int(_number))
