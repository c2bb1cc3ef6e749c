"""Tables of E2Softmax: cost and exactness of its presets and options."""

from __future__ import annotations

from rtl import unit
from rtl.emit.ports import axi_latency

from .figures import cores, shells
from .tools import normal_errors, table

__all__ = ["TABLES", "cost", "exactness"]

# Peers, put through the same flow of the same tool (LUT per element and cycle, delay in ns). ITA
# (pulp-platform/ITA, ba96519) with one divider: it does not store its rows. MASE (DeepWok/mase,
# e34bc47f) softermax at 16 lanes and rows of 64. Figures measured for this project, 2026-11.
PEERS = (("ITA softmax, 16 lanes, without row store", "173", "0", "0", "8.57"),
         ("ITA softmax, 16 lanes, ten dividers, without row store", "254", "0", "0", "8.57"),
         ("MASE softermax, 16 lanes, rows of 64", "783", "118", "0", "7.81"))


def cost() -> str:
    """Return the table of costs: presets and options at 1 to 16 lanes, rows of up to 1024.

    LUTs of the core, and all figures with the AXI4-Stream shell.
    """
    options = (("paper", "paper", {}), ("plus", "plus", {}),
               ("plus, two partial sums", "plus", {"partial_sums": 2}),
               ("plus, two partial sums, deep", "plus", {"partial_sums": 2, "pipeline": "deep"}))
    variants = [(f"`softmax-e2` {title}",
                 unit("softmax-e2").preset(preset, lanes=lanes, max_length=1024, **parameters))
                for title, preset, parameters in options for lanes in (1, 16)]
    rows = []
    configs = [config for _, config in variants]
    for (title, config), core, f in zip(variants, cores(configs), shells(configs), strict=True):
        rows.append((title, config.lanes, f"{core.lut / config.lanes:.1f}",
                     f"{f.lut / config.lanes:.1f}", f.lut, f.ff, f.carry4, f.dsp, f"{f.bram:g}",
                     f"{f.delay_ps / 1000:.2f}", axi_latency(config)))
    rows += [(name, 16, lut, "", "", "", "", dsp, bram, delay, "") for name, lut, dsp, bram, delay
             in PEERS]
    return table(("unit", "lanes", "LUT per element/cycle, core", "with the shell", "LUT", "FF",
                  "CARRY4", "DSP", "BRAM36", "logic delay, ns", "latency, cycles"), rows)


def exactness() -> str:
    """Return the table of errors: presets and options, at several row lengths."""
    cls = unit("softmax-e2")
    common = {"lanes": 16, "max_length": 1024}
    variants = [
        ("`paper`", cls.preset("paper", **common)),
        ("`paper`, absolute codes", cls.preset("paper", correction="absolute", **common)),
        ("`paper`, 8 constants, rounded",
         cls.preset("paper", divider_constants=8, output_rounding="round", **common)),
        ("`plus`", cls.preset("plus", **common)),
    ]
    rows = []
    for length in (8, 64, 512):
        for name, config in variants:
            e = normal_errors(config, length)
            rows.append((name, length, f"{e.l1:.3f}", f"{e.largest:.3f}", f"{e.kl:.4f}",
                         f"{100 * (1 - e.top1):.1f} %", f"{100 * (1 - e.top1_tied):.1f} %",
                         f"{e.sum_low:.2f}..{e.sum_high:.2f}"))
    return table(("configuration", "row length", "L1 per row", "largest error", "KL, nats",
                  "argmax flips", "of these, not ties", "row sums"), rows)


TABLES = {"e2-cost": cost, "e2-exactness": exactness}
