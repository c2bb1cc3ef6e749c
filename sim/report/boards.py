"""Tables of boards: a bitstream of the ULX3S, and tops of a Zynq-7000 synthesised.

They are what ``python -m boards.build`` prints. They need the extra ``boards``, and are made by
naming ``docs/boards.md``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

from .tools import table

__all__ = ["TABLES", "ulx3s", "zynq"]

# Units with the parameters that differ from the defaults.
BITSTREAMS = ("softmax-e2 --lanes 4",)
TOPS = ("softmax-e2 --lanes 4", "attention --max-keys 64 --dim 16",
        "svd-softmax --port-bits 64 --lanes 8 --dim 64 --max-vocab 4096")


def ulx3s() -> str:
    """Bitstreams of units behind a serial line: size, clock and cells."""
    rows = []
    for unit in BITSTREAMS:
        text = _built("ulx3s", *unit.split())
        size, = _numbers(text, r": (\d+) bytes")
        wanted, routed = _numbers(text, r"clock ([\d.]+) MHz, ([\d.]+) MHz after routing")
        cells = (" of ".join(f"{int(n):,}" for n in _numbers(text, rf"{kind} (\d+)/(\d+)"))
                 for kind in ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD"))
        rows.append((f"`{unit}`", f"{int(size):,}", wanted, routed, *cells))
    return table(("unit", "bitstream, bytes", "clock, MHz", "after routing, MHz", "LUT", "FF",
                  "DP16KD"), rows)


def zynq() -> str:
    """Area and delay of tops of a Zynq-7000."""
    rows = []
    for unit in TOPS:
        text = _built("xc7z035-ffg676", *unit.split(), "--plan-only", "--synth")
        *area, bram, delay = _numbers(text, r"(\d+) LUT, (\d+) FF, (\d+) CARRY4, (\d+) DSP, "
                                      r"([\d.]+) BRAM36, (\d+) ps of logic")
        rows.append((f"`{unit}`", *area, f"{float(bram):g}", f"{int(delay) / 1000:.2f}"))
    return table(("unit", "LUT", "FF", "CARRY4", "DSP", "BRAM36", "logic delay, ns"), rows)


def _built(*arguments: str) -> str:
    """What the command prints; its own message of a failure is on standard error."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-m", "boards.build", *arguments, "--out", folder],
                              stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError(f"Board {arguments[0]} can not be measured")
    return done.stdout


def _numbers(text: str, pattern: str) -> tuple[str, ...]:
    return re.search(pattern, text).groups()


TABLES = {"boards-ulx3s": ulx3s, "boards-zynq": zynq}
