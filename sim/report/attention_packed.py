"""Table of the engines whose lanes share DSP blocks, as Markdown."""

from rtl import unit

from .figures import cores
from .tools import table

__all__ = ["TABLES"]

LANES = (2, 4)


def cost() -> str:
    """Return area and delay with and without ``dsp_packing``, 320 keys of 64."""
    configs = [unit("attention")(lanes=lanes, dsp_packing=packed)
               for lanes in LANES for packed in (False, True)]
    figures = cores(configs)
    rows = []
    for config, f, plain in zip(configs, figures, (figures[k & ~1] for k in range(len(figures))),
                                strict=True):
        saved = plain.dsp - f.dsp
        rows.append((f"{config.lanes} lanes" + ", `dsp_packing`" * config.dsp_packing, f.lut, f.ff,
                     f.dsp, f"{f.bram:g}", f"{f.delay_ps / 1000:.2f}",
                     config.query_latency(config.max_keys),
                     f"{(f.lut - plain.lut) / saved:.2f}" if saved else ""))
    return table(("engine", "LUT", "FF", "DSP", "BRAM36", "logic delay, ns",
                  "latency of a query, cycles", "LUT per DSP block saved"), rows)


TABLES = {"attention-packed": cost}
