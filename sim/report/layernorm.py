"""Tables of the LayerNorm units: cost beside their peers, exactness, and a real model's layers."""

from __future__ import annotations

import warnings

import numpy as np

from rtl import unit
from rtl.emit.ports import axi_latency

from .. import model
from ..accuracy import AccuracyError, calibrate, capture, texts
from ..data.real import DATA
from .figures import cores, shells
from .tools import joined, table

__all__ = ["TABLES", "cost", "exactness", "layers"]

LANES = (1, 8)
CHANNELS = 768

# Tokens of the table of layers: to calibrate on, and others to measure on; lengths of their texts;
# and the sentences that they are taken from.
TOKENS = (2000, 1000)
TOKEN_LENGTHS = (12, 24, 48, 96)
FEWEST_SENTENCES = 2000

# Peers, put through the same flow of the same tool, per element and cycle (HG-PIPE has 0.67 of
# them a cycle). Measured for this project, 2026-11. MASE (DeepWok/mase, e34bc47f): group_norm_2d as
# LayerNorm, without gamma and beta; HG-PIPE (hguq/HG-PIPE): its DeiT-tiny LayerNorm, 3-bit output;
# yeobi7/AILayerNorm: statistics over groups of 8.
PEERS = (
    ("MASE LayerNorm, 4 lanes, rows of 64 / 512", "612 / 643", "6.5 / 8.5", "0 / 0.25",
     "7.79 / 7.92", "70 / 406 to the row's end"),
    ("MASE LayerNorm, 16 lanes, rows of 64", "415", "3.7", "0", "7.83", "38 to the row's end"),
    ("HG-PIPE LayerNorm, rows of 192", "957", "12", "0", "3.45", "395 from the row's start"),
    ("yeobi7/AILayerNorm, groups of 8", "1986", "15", "0", "9.03", ""),
)

# MASE's LayerNorm on the same kind of rows: int8 elements of deviation 3, 4 fraction bits out.
PEER_ERRORS = ("MASE LayerNorm", {64: (0.1015, 0.80), 512: (0.032, 0.29)})


def cost() -> str:
    """Return the table: cost per element and cycle at 1 and 8 lanes, rows of 768 channels.

    Alphas, gammas and betas are random, so that none is a constant. LUTs of the core, and all
    figures with the AXI4-Stream shell.
    """
    kinds = [("`layernorm-ai`", "layernorm-ai", {}),
             ("`layernorm-ai` rms", "layernorm-ai", {"rms": True}),
             ("`layernorm-ai`, one scale for all channels", "layernorm-ai", {"alpha_bits": 0}),
             ("`layernorm-ai`, loaded parameters", "layernorm-ai",
              {"channel_parameters": "loaded"}),
             ("`layernorm-ai`, variable length", "layernorm-ai", {"row_length": "variable"}),
             ("`layernorm-ai` fine", "layernorm-ai", unit("layernorm-ai").PRESETS["fine"]),
             ("`layernorm-exact`", "layernorm-exact", {}),
             ("`layernorm-exact` rms", "layernorm-exact", {"rms": True}),
             ("`layernorm-exact` fine", "layernorm-exact", unit("layernorm-exact").PRESETS["fine"])]
    configs = [_config(name, lanes=lanes, channels=CHANNELS, **parameters)
               for _, name, parameters in kinds for lanes in LANES]
    alone, every = cores(configs), shells(configs)
    rows = []
    for n, (title, _, _) in enumerate(kinds):
        part = slice(n * len(LANES), (n + 1) * len(LANES))
        figures, own = every[part], configs[part]
        pairs = list(zip(figures, own, strict=True))
        rows.append((title,
                     joined(f"{f.lut / n:.0f}" for f, n in zip(alone[part], LANES, strict=True)),
                     joined(f"{f.lut / c.lanes:.0f}" for f, c in pairs),
                     joined(f"{f.dsp / c.lanes:.3g}" for f, c in pairs),
                     joined(f"{f.bram / c.lanes:.2g}" for f, c in pairs),
                     joined(f"{f.delay_ps / 1000:.2f}" for f in figures),
                     joined(map(axi_latency, own))))
    return table(("unit", "LUT, core", "LUT", "DSP", "BRAM36", "logic delay, ns",
                  "latency, cycles"),
                 [*rows, *((name, lut, "", *others) for name, lut, *others in PEERS)])


def exactness() -> str:
    """Return the table: errors of the statistics and of the outputs, by rounding and row length.

    400 rows of activations whose channels have scales from 1/4 to 4, quantised with power-of-two
    factors; errors against float64 LayerNorm of the same integers.
    """
    rows = []
    for channels in (192, 384, 768, 1024):
        inputs, gamma, beta = _activations(channels)
        for title, name, parameters in (
                ("half-even", "layernorm-ai", {}),
                ("half-up", "layernorm-ai", {"compression": "half-up"}),
                ("truncate", "layernorm-ai", {"compression": "truncate"}),
                ("exact", "layernorm-exact", {})):
            result = calibrate.calibrate(name, inputs, gamma, beta, output_scale=2.0 ** -5,
                                         **parameters)
            rows.append((f"{channels}, {title}", *_errors(result, result.quantise(inputs))))
    for length, (mean, most) in PEER_ERRORS[1].items():
        for name in "layernorm-ai", "layernorm-exact":
            config = unit(name)(channels=length, signed_input=True, zero_point=0, alpha_bits=0,
                                output_scale=2.0 ** -4)
            raw = np.clip(np.round(np.random.default_rng(length).normal(0, 3, (400, length)) * 8),
                          -128, 127).astype(int)
            exact = calibrate.normalise(raw, 1.0, 0.0)
            error = np.abs(model.run(config, raw) / 16 - exact)
            floor = np.abs(np.floor(exact * 16 + 0.5) / 16 - exact).mean()
            rows.append((f"{length}, `{name}`, 4 fraction bits", "", "", f"{error.mean():.4f}",
                         f"{floor:.4f}", f"{error.max():.2f}"))
        rows.append((f"{length}, {PEER_ERRORS[0]}, 4 fraction bits", "", "", f"{mean:.4f}",
                     "0.0156", f"{most:.2f}"))
    return table(("channels, statistics", "E[x²]: bias / mean error, %",
                  "deviation: mean error, %", "output: mean error", "rounding alone",
                  "largest error"), rows)


# Columns of the table of layers: what is calibrated how.
WAYS = (
    ("`layernorm-exact`, 8 bits", "layernorm-exact", {}),
    ("and a step for each channel", "layernorm-exact", {"output_step": "channel"}),
    ("preset fine (10 bits)", "layernorm-exact", {"preset": "fine"}),
    ("and a step for each channel", "layernorm-exact",
     {"preset": "fine", "output_step": "channel"}),
    ("`layernorm-ai`, 8 bits", "layernorm-ai", {}),
    ("and a step for each channel", "layernorm-ai", {"output_step": "channel"}),
    ("preset fine, and a step for each channel", "layernorm-ai",
     {"preset": "fine", "output_step": "channel"}),
    ("`layernorm-ai`, 8 bits, one scale for all channels", "layernorm-ai", {"alpha_bits": 0}),
)


def layers() -> str:
    """Return the table: mean error of the outputs of a real model's LayerNorms, held out.

    Calibrated on ``TOKENS[0]`` tokens and measured on ``TOKENS[1]`` of other sentences, in parts of
    the deviation of the outputs, against float64 LayerNorm of the float inputs.
    """
    sentences = texts.find_sentences(None)
    if len(sentences) < FEWEST_SENTENCES:
        raise AccuracyError(f"The table of layers takes {FEWEST_SENTENCES} sentences; set {DATA}")
    # Sentences of the first half come in no pairs.
    sentences = sentences[:len(sentences) // 2]
    reader = capture.open_reader()
    seen, others = (capture.capture_norms(reader, sentences[part::2], rows=rows,
                                          lengths=TOKEN_LENGTHS, texts=24)
                    for part, rows in enumerate(TOKENS))
    rows = []
    for norm, other in zip(seen, others, strict=True):
        exact = calibrate.normalise(other.inputs, norm.gamma, norm.beta, epsilon=norm.epsilon)
        errors = []
        for _, name, parameters in WAYS:
            with warnings.catch_warnings():
                # One scale for all channels is meant to be bad.
                warnings.simplefilter("ignore" if "alpha_bits" in parameters else "error")
                result = calibrate.calibrate(name, norm.inputs, norm.gamma, norm.beta,
                                             epsilon=norm.epsilon, **parameters)
            errors.append(100 * result.relative_error(other.inputs, exact))
        rows.append((norm.name.removesuffix(".LayerNorm"), *errors))
    means = np.mean([errors for _, *errors in rows], axis=0)
    return table(("layer", *(title + ", %" for title, _, _ in WAYS)),
                 [(title, *(f"{error:.2f}" for error in errors))
                  for title, *errors in [*rows, ("all", *means)]])


TABLES = {"layernorm-cost": cost, "layernorm-exactness": exactness, "layernorm-layers": layers}


def _config(name, **parameters):
    random = np.random.default_rng(1)
    config = unit(name)(**parameters)
    channels = config.channels

    def draw(low: int, high: int) -> tuple[int, ...]:
        return tuple(random.integers(low, high, channels).tolist())

    return unit(name)(**parameters, alpha=draw(0, 1 << config.alpha_bits), gamma=draw(-128, 128),
                      beta=() if config.rms else draw(-128, 128))

def _activations(channels):
    random = np.random.default_rng([channels, 0])
    scale = 2.0 ** random.uniform(-2, 2, channels)
    inputs = random.normal(0, 1, (400, channels)) * scale
    inputs += random.normal(0, 0.5, channels) * scale
    return inputs, random.uniform(0.5, 1.5, channels), random.normal(0, 0.3, channels)


def _errors(result, raw):
    """Cells of a row of :func:`exactness`."""
    config = result.config
    alpha = np.array(config.alphas)
    x = (raw - config.zero_point) << alpha
    if hasattr(config, "codes"):
        table = np.array([(code << config.flag_shift * flag) ** 2 for code, flag in config.codes])
        squares = table[raw - config.raw_range[0]] << 2 * (alpha + config.low_shift)
    else:
        squares = x * x
    relative = squares.sum(-1) / (x * x).sum(-1) - 1
    variance = x.var(-1)
    seen = np.sqrt((variance + relative * np.square(x).mean(-1)) / variance) - 1
    gamma = np.array(config.gammas) * 2.0 ** -config.gamma_fraction_bits
    beta = np.array(config.betas) * 2.0 ** -config.beta_fraction_bits
    exact = calibrate.normalise(x, gamma, beta, epsilon=config.epsilon)
    kept = np.clip(exact, -128, 127)
    error = np.abs(model.run(config, raw) - kept) * config.output_scale
    floor = np.abs(np.clip(np.floor(exact + 0.5), -128, 127) - kept) * config.output_scale
    return (f"{100 * relative.mean():+.2f} / {100 * np.abs(relative).mean():.2f}",
            f"{100 * np.abs(seen).mean():.2f}", f"{error.mean():.4f}", f"{floor.mean():.4f}",
            f"{error.max():.2f}")

