"""What the tables of the documentation are made with."""

import concurrent.futures

import numpy as np

from rtl.emit import synthesis, verilog

from .. import model
from ..metrics import softmax_errors
from ..reference import softmax

__all__ = ["joined", "largest", "measured", "normal_errors", "table"]


def table(header, rows):
    """Markdown table; all columns but the first are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def joined(cells):
    """One cell of several."""
    return " / ".join(map(str, cells))


def measured(configs):
    """Synthesis figures of each config, two at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(_figures, configs))


def _figures(config):
    return synthesis.measure(verilog.of_unit(config), config.name)


def normal_errors(config, length, sigma=3.0):
    """Errors of 1000 rows of normal logits against float64 softmax of the same quantised logits."""
    rng = np.random.default_rng(length)
    low, high = -(1 << (config.bits - 1)), (1 << (config.bits - 1)) - 1
    x = np.floor(rng.normal(0, sigma, (1000, length)) / config.input_scale + 0.5)
    x = np.clip(x, low, high).astype(np.int64)
    return softmax_errors(softmax(x * config.input_scale),
                          model.run(config, x) * config.output_scale)


def largest(scores, counts):
    """Whether each score is one of the ``counts`` largest of its row."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return ranks < counts[:, None]
