"""Tables of boards: a bitstream of the ULX3S, and tops of a Zynq-7000 synthesised.

They need the extra ``boards``, and are made by naming ``docs/boards.md``.
"""

from __future__ import annotations

from typing import Any

from boards.catalog import board
from boards.ecp5 import build as ecp5
from boards.vivado import build as vivado
from rtl.config import unit

from .tools import table

__all__ = ["TABLES", "ulx3s", "zynq"]

# Units and parameters that differ from the defaults.
BITSTREAMS: tuple[tuple[str, dict[str, Any]], ...] = (("softmax-e2", {"lanes": 4}),)
TOPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("softmax-e2", {"lanes": 4}), ("attention", {"max_keys": 64, "dim": 16}))


def ulx3s() -> str:
    """Bitstreams of units behind a serial line: size, clock and cells."""
    chosen, rows = board("ulx3s"), []
    for name, parameters in BITSTREAMS:
        files = ecp5.plan(chosen, unit(name)(**parameters), None)
        *_, result = ecp5.implement(files, chosen.platform().default_clk_frequency / 1e6)
        cells = {kind: " of ".join(f"{number:,}" for number in numbers)
                 for kind, numbers in result.cells.items()}
        rows.append((_command(name, parameters), f"{result.size:,}", f"{result.wanted_mhz:g}",
                     f"{result.mhz:.1f}", cells["TRELLIS_COMB"], cells["TRELLIS_FF"],
                     cells["DP16KD"]))
    return table(("unit", "bitstream, bytes", "clock, MHz", "after routing, MHz", "LUT", "FF",
                  "DP16KD"), rows)


def zynq() -> str:
    """Area and delay of tops of a Zynq-7000."""
    rows = []
    for name, parameters in TOPS:
        config = unit(name)(**parameters)
        f = vivado.figures(vivado.plan(board("xc7z035-ffg676"), config, "constant"), config)
        rows.append((_command(name, parameters), f.lut, f.ff, f.carry4, f.dsp, f"{f.bram:g}",
                     f"{f.delay_ps / 1000:.2f}"))
    return table(("unit", "LUT", "FF", "CARRY4", "DSP", "BRAM36", "logic delay, ns"), rows)


def _command(name: str, parameters: dict[str, Any]) -> str:
    options = "".join(f" --{key.replace('_', '-')} {value}" for key, value in parameters.items())
    return f"`{name}{options}`"


TABLES = {"boards-ulx3s": ulx3s, "boards-zynq": zynq}
