"""Measured tables of the attention engine's datapath in one pass, as Markdown."""

import numpy as np

from rtl import unit

from .. import metrics, model, reference
from ..data import captured, sample, synthetic
from .figures import cores
from .tools import joined, table

__all__ = ["TABLES"]

# Widths of a term, and logarithms of the positions of an octave.
TERM_BITS, OCTAVE_BITS = (8, 10, 12, 14), (2, 3, 4)

TWO_PASS = ("softmax-e2:plus", "softmax-split:plus")

COSTS = (("two passes, `softmax-e2:plus`", {}),
         ("two passes, `softmax-split:plus`", {"softmax": "softmax-split:plus"}),
         ("one pass", {"datapath": "online"}),
         ("one pass, term_bits 10", {"datapath": "online", "term_bits": 10}),
         ("one pass, scales and sinks at run time",
          {"datapath": "online", "scales": "run-time", "sink": True}))


def _error(**parameters):
    """Mean and largest relative error of the captured heads."""
    found = []
    for head in captured.load_heads(sample("heads")):
        q, k, v = head.real()
        config = synthetic.fitted(q, k, v, **parameters)
        outputs = model.run(config, *synthetic.quantised(config, q, k, v))
        found.append(metrics.attention_errors(reference.attention(q, k, v),
                                              outputs * config.output_scale).relative)
    return joined(f"{error:.3f}" for error in (np.mean(found), max(found)))


def errors() -> str:
    """Errors of captured heads by the numbers of the terms, and those of two passes."""
    rows = [(f"two passes, `{softmax}`", *[""] * (len(OCTAVE_BITS) - 1), _error(softmax=softmax))
            for softmax in TWO_PASS]
    rows += [(f"one pass, term_bits {bits}",
              *(_error(datapath="online", term_bits=bits, octave_bits=octave)
                for octave in OCTAVE_BITS)) for bits in TERM_BITS]
    return table(("engine", *(f"octave_bits {octave}" for octave in OCTAVE_BITS)), rows)


def cost() -> str:
    """Area, delay and latency of both datapaths, 320 keys of 64, one lane."""
    configs = [unit("attention")(**parameters) for _, parameters in COSTS]
    rows = [(name, f.lut, f.ff, f.dsp, f"{f.bram:g}", f"{f.delay_ps / 1000:.2f}",
             config.query_cycles(config.max_keys), config.query_latency(config.max_keys))
            for (name, _), config, f in zip(COSTS, configs, cores(configs), strict=True)]
    return table(("engine", "LUT", "FF", "DSP", "BRAM36", "logic delay, ns", "cycles per query",
                  "latency of a query, cycles"), rows)


TABLES = {"attention-online-errors": errors, "attention-online-cost": cost}
