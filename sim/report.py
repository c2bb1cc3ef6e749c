"""Measured tables of the documentation: ``python -m sim.report [FILE ...] [--check]``.

A table stands in a Markdown file between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``, and is
made anew by the function of that name here. With ``--check`` nothing is written, and a table that
is not what the tools give today is an error.
"""

import argparse
import concurrent.futures
import pathlib
import re
import sys

import numpy as np

from rtl import emit, synth, unit

from . import model
from .metrics import softmax_errors
from .reference import softmax
from .report_attention import TABLES as ATTENTION_TABLES
from .report_family import family
from .report_layernorm import TABLES as LAYERNORM_TABLES


__all__ = ["TABLES", "main", "update"]

FILES = ("README.md", "docs/softmax_e2.md", "docs/softmax_family.md", "docs/attention.md",
         "docs/layernorm.md")

# Peers, put through the same flow of the same tool (LUT per element and cycle, delay in ns). ITA
# (pulp-platform/ITA, ba96519) with one divider: it does not store its rows. MASE (DeepWok/mase,
# e34bc47f) softermax at 16 lanes and rows of 64. Figures measured for this project, 2026-11.
PEERS = (("ITA softmax, 16 lanes, without row store", "173", "0", "0", "8.57"),
         ("ITA softmax, 16 lanes, ten dividers, without row store", "254", "0", "0", "8.57"),
         ("MASE softermax, 16 lanes, rows of 64", "783", "118", "0", "7.81"))


def _table(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _figures(config):
    return synth.measure(emit.unit(config), config.name)


def _measured(configs):
    """Synthesis figures of each config, two at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(_figures, configs))


def _softmax_errors(config, length, sigma):
    """Errors of 1000 rows of normal logits against float64 softmax of the same quantised logits."""
    rng = np.random.default_rng(length)
    low, high = -(1 << (config.bits - 1)), (1 << (config.bits - 1)) - 1
    x = np.floor(rng.normal(0, sigma, (1000, length)) / config.input_scale + 0.5)
    x = np.clip(x, low, high).astype(np.int64)
    return softmax_errors(softmax(x * config.input_scale),
                          model.run(config, x) * config.output_scale)


def e2_cost():
    """Cost of E2Softmax: both presets at 1 to 32 lanes, rows of up to 1024 elements."""
    configs = [unit("softmax-e2").preset(preset, lanes=lanes, max_length=1024)
               for preset in ("paper", "plus") for lanes in (1, 4, 16, 32)]
    rows = []
    for config, f in zip(configs, _measured(configs), strict=True):
        preset = config.name.split("_")[3]
        rows.append((f"`softmax-e2` {preset}", config.lanes, f.lut, f"{f.lut / config.lanes:.1f}",
                     f.ff, f.carry4, f.dsp, f"{f.bram:g}", f"{f.delay_ps / 1000:.2f}",
                     config.latency))
    rows += [(name, 16, "", lut, "", "", dsp, bram, delay, "") for name, lut, dsp, bram, delay
             in PEERS]
    return _table(("unit", "lanes", "LUT", "LUT per element/cycle", "FF", "CARRY4", "DSP",
                   "BRAM36", "logic delay, ns", "latency, cycles"), rows)


def e2_exactness():
    """Errors of E2Softmax: presets and options, at several row lengths."""
    cls = unit("softmax-e2")
    common = {"lanes": 16, "max_length": 1024}
    variants = [
        ("`paper`", cls(**common)),
        ("`paper`, absolute codes", cls(correction="absolute", **common)),
        ("`paper`, 8 constants, rounded", cls(divider_constants=8, output_rounding="round",
                                              **common)),
        ("`plus`", cls.preset("plus", **common)),
    ]
    rows = []
    for length in (8, 64, 512):
        for name, config in variants:
            e = _softmax_errors(config, length, 3.0)
            rows.append((name, length, f"{e.l1:.3f}", f"{e.largest:.3f}", f"{e.kl:.4f}",
                         f"{100 * (1 - e.top1):.1f} %", f"{100 * (1 - e.top1_tied):.1f} %",
                         f"{e.sum_low:.2f}..{e.sum_high:.2f}"))
    return _table(("configuration", "row length", "L1 per row", "largest error", "KL, nats",
                   "argmax flips", "of these, not ties", "row sums"), rows)


TABLES = {"e2-cost": e2_cost, "e2-exactness": e2_exactness, "softmax-family": family,
          **ATTENTION_TABLES, **LAYERNORM_TABLES}


# Files -------------------------------------------------------------------------------------------

def update(text, made):
    """Text with the tables between its markers made anew; ``made`` keeps them by name.

    Raises
    ------
    ValueError
        If a marker names no table.
    """
    def replace(match):
        name = match[1]
        if name not in TABLES:
            raise ValueError(f"Table must be one of {', '.join(TABLES)}, not {name!r}")
        if name not in made:
            made[name] = TABLES[name]()
        return f"<!-- begin {name} -->\n{made[name]}\n<!-- end {name} -->"
    return re.sub(r"<!-- begin ([\w-]+) -->\n.*?<!-- end \1 -->", replace, text, flags=re.DOTALL)


def main(argv=None):
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m sim.report",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="*", metavar="FILE", help="Markdown files (default: "
                        + ", ".join(FILES) + ")")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    args = parser.parse_args(argv)
    made, stale = {}, []
    for name in args.file or FILES:
        path = pathlib.Path(name)
        try:
            before = path.read_text(encoding="utf-8")
            after = update(before, made)
            if args.check and after != before:
                stale.append(name)
            elif after != before:
                path.write_text(after, encoding="utf-8")
        except (OSError, ValueError) as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
    if stale:
        print(f"error: tables are not up to date in {', '.join(stale)}; run python -m sim.report",
              file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
