"""Table of the softmax methods beside each other: exactness and cost at one interface."""

from __future__ import annotations

from rtl import unit, units
from rtl.emit.ports import axi_latency

from .figures import cores, shells
from .tools import joined, normal_errors, table

__all__ = ["family", "row_parameters"]

LANES = (1, 4, 16)
LENGTHS = (64, 512)
MAX_LENGTH = 1024

# Peers, put through the same flow of the same tool; exactness on the same 8-bit logits that each
# accepts, against float64 softmax of these (mean error at rows of 64 and 512). Measured for this
# project, 2026-11. ITA (pulp-platform/ITA, ba96519) does not store its rows; one divider. MASE
# (DeepWok/mase, e34bc47f): softermax for rows of 64.
PEERS = (
    ("ITA softmax, 16 lanes, without row store", "8.4e-4 / 3.2e-4", "173", "0", "0", "8.57", "12"),
    ("MASE softermax, 4 and 16 lanes", "1.4e-3 / 4.6e-4", "1080 / 783", "8.5 / 7.4", "0", "7.81",
     "73 / 41 to the row's end"),
)


def family() -> str:
    """Return the table: method and preset, exactness at two row lengths, cost at three widths.

    Errors are those of 1000 rows of normal logits with standard deviation 3, in steps of 1/8,
    against float64 softmax of the same quantised logits. Cost is per element and cycle, with the
    AXI4-Stream shell, and LUTs of the core alone, too; ``n`` is the number of beats of the row.
    """
    pairs = [(name, preset) for name in units() if name.startswith("softmax-")
             for preset in unit(name).PRESETS]
    configs = [unit(name).preset(preset, lanes=lanes, max_length=MAX_LENGTH)
               for name, preset in pairs for lanes in LANES]
    alone, figures = cores(configs), shells(configs)
    rows = []
    for n, (name, preset) in enumerate(pairs):
        of = slice(n * len(LANES), (n + 1) * len(LANES))
        rows.append((f"`{name}` {preset}", *_exactness(configs[of][-1]),
                     joined(f"{f.lut / n:.0f}" for f, n in zip(alone[of], LANES, strict=True)),
                     *_cost(configs[of], figures[of])))
    rows += [(name, "", mean, "", "", "", "", lut, "", *cost) for name, mean, lut, *cost in PEERS]
    header = ("method, preset", "L1 per row", "mean error", "largest error", "KL, nats",
              "argmax flips, %", "row sums", "LUT, core", "LUT", "DSP", "BRAM36",
              "logic delay, ns", "latency, cycles")
    return table(header, rows)


def row_parameters() -> str:
    """Return the table: what a sink and a requantiser in front add to units of eight lanes."""
    kinds = (("rows of logits", {}), ("with a sink", {"sink": True}),
             ("accumulators of 24 bits", {"accumulator_bits": 24}),
             ("accumulators of 32 bits, sink", {"accumulator_bits": 32, "sink": True}))
    pairs = (("softmax-e2", "plus"), ("softmax-split", "plus"))
    configs = [unit(name).preset(preset, lanes=8, max_length=MAX_LENGTH, **parameters)
               for name, preset in pairs for _, parameters in kinds]
    rows = []
    for n, (config, f) in enumerate(zip(configs, shells(configs), strict=True)):
        (name, preset), (kind, _) = pairs[n // len(kinds)], kinds[n % len(kinds)]
        rows.append((f"`{name}` {preset}", kind, f.lut, f.dsp, f"{f.bram:g}",
                     f"{f.delay_ps / 1000:.2f}", *_cost([config], [f])[4:]))
    return table(("method, preset", "rows", "LUT", "DSP", "BRAM36", "logic delay, ns",
                  "latency, cycles"), rows)


def _exactness(config):
    errors = [normal_errors(config, length) for length in LENGTHS]
    return (joined(f"{e.l1:.3f}" for e in errors),
            joined(f"{e.l1 / length:.1e}" for e, length in zip(errors, LENGTHS, strict=True)),
            joined(f"{e.largest:.3f}" for e in errors),
            joined(f"{e.kl:.3f}" for e in errors),
            joined(f"{100 * (1 - e.top1):.1f}" for e in errors),
            joined(f"{e.sum_low:.2f}..{e.sum_high:.2f}" for e in errors))


def _cost(configs, figures):
    lanes = [config.lanes for config in configs]
    return (joined(f"{f.lut / n:.0f}" for f, n in zip(figures, lanes, strict=True)),
            joined(f"{f.dsp / n:g}" for f, n in zip(figures, lanes, strict=True)),
            joined(f"{f.bram / n:.2g}" for f, n in zip(figures, lanes, strict=True)),
            joined(f"{f.delay_ps / 1000:.2f}" for f in figures),
            joined(f"{axi_latency(c) - 1} + n" if c.passes > 1 else axi_latency(c)
                   for c in configs))
