"""Measured tables of the attention engine: cycles, errors and area, as Markdown.

``python -m sim.report_attention`` makes the tables of ``docs/attention.md`` anew.
"""

import sys
import tempfile

import numpy as np

from rtl import emit, synth, unit

from . import attention_data, metrics, model, reference, report
from .bench.attention import AttentionJob, KeySet
from .model.attention import kept, work
from .runner import Design, Simulation

__all__ = ["TABLES", "measured_cycles"]

# XC7Z035: LUT, flip-flops, DSP blocks, block RAMs of 36 Kib (DS190).
DEVICE = {"lut": 171900, "ff": 343800, "dsp": 900, "bram": 500}

SETS = (("random", 1), ("random", 4), ("cluster", 2), ("cluster", 4), ("needle", 4),
        ("lowrank", 4), ("allneg", 1))


def measured_cycles(config, sets, simulator="icarus"):
    """Cycles that an engine takes for sets, from reset to the last output, simulated.

    ``sets`` are triples of integers ``q``, ``k``, ``v``. The outputs are compared with the model.
    """
    job = [KeySet(q, k, v, np.zeros(len(k), bool), model.run(config, q, k, v)) for q, k, v in sets]
    design = Design.of(config)
    with tempfile.TemporaryDirectory() as folder:
        result, = Simulation(design, simulator, folder).run(
            AttentionJob(config, job, 0, "core", design.latency), ["sets_back_to_back"],
            module="sim.bench.attention")
    if result.failure:
        raise RuntimeError(result.failure)
    return result.cycles


def dense_cycles():
    """Cycles per query of the dense engine, simulated."""
    rows = []
    for keys, dim, lanes in ((320, 64, 1), (320, 64, 4), (186, 64, 1), (50, 64, 1), (20, 64, 1)):
        config = unit("attention")(max_keys=keys, dim=dim, lanes=lanes)
        random = np.random.default_rng(1)
        q, k, v = (random.integers(-127, 128, (n, dim)) for n in (8, keys, keys))
        # What the engine takes to fill is in both, and goes.
        few, many = (measured_cycles(config, [(q[:count], k, v)]) for count in (4, 8))
        rows.append((keys, lanes, f"{(many - few) / 4:g}", config.query_cycles(keys),
                     config.query_latency(keys)))
    return report._table(("keys", "lanes", "cycles per query, simulated", "by the configuration",
                          "latency, cycles"), rows)


def predict():
    """Predictive attention: what it keeps, takes and loses, 128 queries, 320 keys of 64."""
    rows = []
    for name, beta in SETS:
        q, k, v = attention_data.DATA[name](np.random.default_rng(0), 128, 320, 64, beta)
        exact = reference.attention(q, k, v)
        weights = reference.softmax(q @ k.T / 8)
        for parameters in ({}, {"mean_shift": 1}):
            config = attention_data.fitted(q, k, v, select="predict", **parameters)
            dense = attention_data.fitted(q, k, v)
            integers = attention_data.quantised(config, q, k, v)
            done, all_of_it = (work(c, *integers[:2]) for c in (config, dense))
            e, base = (metrics.attention_errors(exact, model.run(c, *integers) * c.output_scale)
                       for c in (config, dense))
            mass = (weights * kept(config, *integers[:2])).sum(axis=1).mean()
            rows.append((f"{name}, {beta}", config.mean_shift, f"{100 * done.kept / 320:.1f} %",
                         f"{100 * mass:.0f} %", f"{done.cycles:.1f}",
                         f"{all_of_it.cycles / done.cycles:.1f}",
                         f"{100 * done.multiplications / all_of_it.multiplications:.0f} %",
                         f"{100 * done.memory_bits / all_of_it.memory_bits:.0f} %",
                         f"{e.relative:.3f} / {e.cosine:.4f}",
                         f"{base.relative:.3f} / {base.cosine:.4f}"))
    return report._table(("data, beta", "`mean_shift`", "keys kept", "softmax mass kept",
                          "cycles per query", "times dense", "multiplications", "memory bits",
                          "error", "error, dense"), rows)


def predict_cycles():
    """Cycles per query of predictive attention, simulated, and by the model."""
    rows = []
    for name, beta in (("random", 4), ("cluster", 4), ("needle", 4)):
        q, k, v = attention_data.DATA[name](np.random.default_rng(0), 24, 320, 64, beta)
        config = attention_data.fitted(q, k, v, select="predict")
        q, k, v = attention_data.quantised(config, q, k, v)
        few, many = (measured_cycles(config, [(q[:count], k, v)]) for count in (8, 24))
        done = work(config, q[8:], k)
        rows.append((f"{name}, {beta}", f"{100 * done.kept / 320:.1f} %",
                     f"{(many - few) / 16:.1f}", f"{done.cycles:.1f}"))
    return report._table(("data, beta", "keys kept", "cycles per query, simulated",
                          "by the model"), rows)


def greedy():
    """A3's search: what it finds, keeps, takes and loses, 128 queries, 320 keys of 64."""
    rows = []
    for name, beta in SETS:
        q, k, v = attention_data.DATA[name](np.random.default_rng(0), 128, 320, 64, beta)
        exact = reference.attention(q, k, v)
        weights = reference.softmax(q @ k.T / 8)
        dense = attention_data.fitted(q, k, v)
        for preset in ("conservative", "aggressive"):
            config = attention_data.fitted(q, k, v, **dense.PRESETS[preset])
            integers = attention_data.quantised(config, q, k, v)
            done, all_of_it = (work(c, *integers[:2]) for c in (config, dense))
            found, base = (
                metrics.attention_errors(exact, model.run(c, *integers) * c.output_scale)
                for c in (config, dense))
            real = metrics.attention_errors(exact, reference.greedy_attention(
                q, k, v, config.iterations, config.percent))
            mass = (weights * kept(config, *integers[:2])).sum(axis=1).mean()
            rows.append((f"{name}, {beta}", f"`{preset}`", f"{100 * done.candidates / 320:.1f} %",
                         f"{100 * done.kept / 320:.1f} %", f"{100 * mass:.0f} %",
                         f"{done.cycles:.1f}", f"{all_of_it.cycles / done.cycles:.1f}",
                         f"{100 * done.multiplications / all_of_it.multiplications:.0f} %",
                         f"{100 * done.memory_bits / all_of_it.memory_bits:.0f} %",
                         *(f"{e.relative:.3f} / {e.cosine:.4f}" for e in (found, real, base))))
    return report._table(("data, beta", "preset", "candidates", "kept", "softmax mass kept",
                          "cycles per query", "times dense", "multiplications", "memory bits",
                          "error", "error of the method in float64", "error, dense"), rows)


def greedy_cycles():
    """Cycles per query with A3's search, simulated, and by the model."""
    rows = []
    for name, beta in (("random", 4), ("cluster", 4), ("needle", 4), ("lowrank", 4), ("allneg", 1)):
        q, k, v = attention_data.DATA[name](np.random.default_rng(0), 24, 320, 64, beta)
        for preset in ("conservative", "aggressive"):
            config = attention_data.fitted(q, k, v, **unit("attention").PRESETS[preset])
            integers = attention_data.quantised(config, q, k, v)
            few, many = (measured_cycles(config, [(integers[0][:count], *integers[1:])])
                         for count in (8, 24))
            done = work(config, integers[0][8:], integers[1])
            rows.append((f"{name}, {beta}", f"`{preset}`", f"{100 * done.candidates / 320:.1f} %",
                         f"{(many - few) / 16:.1f}", f"{done.cycles:.1f}",
                         f"{16 * 320 / (many - few):.1f}"))
    return report._table(("data, beta", "preset", "candidates", "cycles per query, simulated",
                          "by the model", "times dense"), rows)


def errors():
    """Errors of the dense engine against float64 attention, 128 queries, 320 keys of 64."""
    rows = []
    variants = (("softmax-e2:plus", {}), ("softmax-e2:plus", {"weight_bits": 8}),
                ("softmax-e2:paper", {}), ("softmax-split:plus", {}))
    for name, beta in SETS:
        q, k, v = attention_data.DATA[name](np.random.default_rng(0), 128, 320, 64, beta)
        exact = reference.attention(q, k, v)
        weights = reference.softmax(q @ k.T / 8)
        cells = [f"{name}, {beta}", f"{attention_data.effective_keys(weights):.1f}"]
        for softmax, parameters in variants:
            config = attention_data.fitted(q, k, v, softmax=softmax, **parameters)
            integers = attention_data.quantised(config, q, k, v)
            e = metrics.attention_errors(exact, model.run(config, *integers) * config.output_scale)
            cells.append(f"{e.relative:.3f} / {e.cosine:.4f}")
        rows.append(cells)
    return report._table(("data, beta", "effective keys",
                          *(f"`{s}`" + "".join(f", {n} {x}" for n, x in p.items())
                            for s, p in variants)), rows)


def cost():
    """Area and delay of the engine, with the share of the device."""
    rows = []
    for parameters in ({}, {"lanes": 2}, {"lanes": 4}, {"causal": True}, {"dim": 32},
                       {"softmax": "softmax-split"}, {"select": "predict"},
                       {"select": "predict", "predictor": "sign"}, {"select": "greedy"}):
        config = unit("attention")(**parameters)
        f = synth.measure(emit.verilog({config.name: config.create()}), config.name)
        shares = [f"{getattr(f, figure):g} ({100 * getattr(f, figure) / total:.1f} %)"
                  for figure, total in DEVICE.items()]
        name = ", ".join(f"{n} {x}" for n, x in parameters.items()) or "default"
        rows.append((name, *shares, f"{f.delay_ps / 1000:.2f}", config.latency))
    return report._table(("engine", "LUT", "FF", "DSP", "BRAM36", "logic delay, ns",
                          "latency of one key, cycles"), rows)


TABLES = {"attention-cycles": dense_cycles, "attention-errors": errors, "attention-cost": cost,
          "attention-predict": predict, "attention-predict-cycles": predict_cycles,
          "attention-greedy": greedy, "attention-greedy-cycles": greedy_cycles}


if __name__ == "__main__":
    report.TABLES.update(TABLES)
    sys.exit(report.main(sys.argv[1:] or ["docs/attention.md"]))
