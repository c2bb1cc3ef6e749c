"""Measured tables of the attention engine: cycles and errors, as Markdown."""

import dataclasses
import functools
import math
import tempfile
from collections.abc import Iterable

import numpy as np

from rtl import UnitConfig, unit

from .. import metrics, model, reference
from ..accuracy import prefix_basis
from ..bench.attention import AttentionJob, KeySet
from ..data import captured, sample, synthetic
from ..model.attention.reuse import AttentionMap
from ..model.attention.selection import kept
from ..runner import Design, Simulation
from .attention_work import work
from .tools import largest, table

__all__ = ["TABLES", "captured_head", "captured_heads", "key_sets", "measured_cycles"]

# Attention heads of a real Transformer.

SETS = (("random", 1), ("random", 4), ("cluster", 2), ("cluster", 4), ("needle", 4),
        ("lowrank", 4), ("allneg", 1))
# Those that are simulated: one of each kind.
CYCLE_SETS = (("random", 4), ("cluster", 4), ("needle", 4), ("lowrank", 4), ("allneg", 1))


def measured_cycles(config: UnitConfig, sets: list, simulator: str = "icarus") -> float:
    """Cycles that an engine takes for sets, from reset to the last output, simulated.

    ``sets`` are triples of integers ``q``, ``k``, ``v``. The outputs are compared with the model.
    """
    return _simulated(config, key_sets(config, sets), simulator)


def measured_latency(config: UnitConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> int:
    """Cycles from a query's last beat accepted to its output's first beat valid, simulated.

    In an idle engine, which has the keys and values; the mean over the queries, four at most.
    Sorted columns come from outside, which is sooner, and the same for a query.
    """
    config = dataclasses.replace(config, sort="host")
    sets = key_sets(config, [(one[None], k, v) for one in q])
    return _simulated(config, sets, test="latency_of_idle_engine") / len(sets)


def _simulated(config, sets, simulator="icarus", test="sets_back_to_back"):
    design = Design.of(config)
    with tempfile.TemporaryDirectory() as folder:
        result, = Simulation(design, simulator, folder).run(
            AttentionJob(config, sets, 0, "core", design.latency), [test],
            module="sim.bench.attention")
    if result.failure:
        raise RuntimeError(result.failure)
    return result.cycles


def key_sets(config: UnitConfig, sets: Iterable) -> list[KeySet]:
    """Sets for the bench of the engine, and what the model makes of them."""
    return [KeySet(q, k, v, np.zeros(len(k), bool), model.run(config, q, k, v)) for q, k, v in sets]


def captured_head(turned: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real ``q``, ``k``, ``v`` of one captured head; ``turned`` into its calibrated basis."""
    return captured_heads(turned)[4]


def captured_heads(turned: bool = False) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the same of all captured heads."""
    return _turned_heads() if turned else _heads()


def dense_cycles() -> str:
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
    return table(("keys", "lanes", "cycles per query, simulated", "by the configuration",
                  "latency, cycles"), rows)


def _rule(config):
    if config.select == "greedy":
        return f"{config.iterations_per_key:g} n iterations, {config.percent:g} %"
    return {"mean": f"mean, {config.mean_shift}", "threshold": f"threshold, {config.threshold}",
            "top-k": f"top-k, {config.top_k}"}[config.rule]


def predict() -> str:
    """Predictive attention: what it keeps, takes and loses, 128 queries, 320 keys of 64."""
    rows = []
    for name, beta in SETS:
        q, k, v = synthetic.DATA[name](np.random.default_rng(0), 128, 320, 64, beta)
        exact = reference.attention(q, k, v)
        weights = reference.softmax(q @ k.T / 8)
        for parameters in ({}, {"mean_shift": 1}, {"rule": "top-k", "top_k": 40}):
            config = synthetic.fitted(q, k, v, select="predict", **parameters)
            dense = synthetic.fitted(q, k, v)
            integers = synthetic.quantised(config, q, k, v)
            done, all_of_it = (work(c, *integers[:2]) for c in (config, dense))
            e, base = (metrics.attention_errors(exact, model.run(c, *integers) * c.output_scale)
                       for c in (config, dense))
            mass = (weights * kept(config, *integers[:2])).sum(axis=1).mean()
            rows.append((f"{name}, {beta}", _rule(config), f"{100 * done.kept / 320:.1f} %",
                         f"{100 * mass:.0f} %", f"{done.cycles:.1f}",
                         f"{all_of_it.cycles / done.cycles:.1f}",
                         f"{100 * done.multiplications / all_of_it.multiplications:.0f} %",
                         f"{100 * done.memory_bits / all_of_it.memory_bits:.0f} %",
                         f"{e.relative:.3f} / {e.cosine:.4f}",
                         f"{base.relative:.3f} / {base.cosine:.4f}"))
    return table(("data, beta", "rule", "keys kept", "softmax mass kept",
                  "cycles per query", "times dense", "multiplications", "memory bits",
                  "error", "error, dense"), rows)


def predict_cycles() -> str:
    """Cycles per query of predictive attention, simulated, and by the model."""
    cases = []
    for name, beta in CYCLE_SETS:
        vectors = synthetic.DATA[name](np.random.default_rng(0), 24, 320, 64, beta)
        kinds = [{}, {"rule": "top-k", "top_k": 40}]
        if name == "random":
            kinds += [{"rule": "top-k", "top_k": count} for count in (20, 80, 160)]
        cases += [(f"{name}, {beta}", vectors, parameters) for parameters in kinds]
    real = captured_head()
    keys = len(real[1])
    cases += [("captured head", real, parameters) for parameters in (
        {}, {"rule": "top-k", "top_k": keys // 8}, {"rule": "top-k", "top_k": keys // 2})]
    cases.append(("captured head, prefix of 8", captured_head(turned=True),
                  {"predictor": "prefix", "rule": "top-k", "top_k": keys // 8}))
    rows = []
    for name, (q, k, v), parameters in cases:
        config = synthetic.fitted(q, k, v, select="predict", **parameters)
        q, k, v = synthetic.quantised(config, q, k, v)
        few, many = (measured_cycles(config, [(q[:count], k, v)]) for count in (8, 24))
        done = work(config, q[8:], k)
        rows.append((name, _rule(config), len(k), f"{100 * done.kept / len(k):.1f} %",
                     f"{(many - few) / 16:.1f}", f"{done.cycles:.1f}"))
    return table(("data, beta", "rule", "keys", "keys kept",
                  "cycles per query, simulated", "by the model"), rows)


@functools.cache
def _heads():
    """Real queries, keys and values of each captured head."""
    return [head.real() for head in captured.load_heads(sample("heads"))]


@functools.cache
def _turned_heads():
    """The same in the basis that was calibrated for each."""
    bases = prefix_basis.load(sample("basis"))
    return [(basis.queries(q), basis.keys(k), v)
            for basis, (q, k, v) in zip(bases, _heads(), strict=True)]


def _of_heads(rows, name, found):
    """Add a row of the means of the figures of each head."""
    part, mass, recall, cycles, relative, cosine = np.mean(found, axis=0)
    keys = len(_heads()[0][1])
    # What only chooses, in float64, takes no cycles.
    pace = ("", "") if math.isnan(cycles) else (f"{cycles:.1f}", f"{keys / cycles:.1f}")
    rows.append((name, f"{100 * part:.1f} %", f"{100 * mass:.0f} %", f"{100 * recall:.0f} %",
                 *pace, f"{relative:.3f} / {cosine:.4f}",
                 f"{max(f[4] for f in found):.3f}"))


def captured_table() -> str:
    """Attention heads of a real Transformer: what is kept, taken and lost; means over the heads."""
    keys = len(_heads()[0][1])
    parts = (8, 4, 2)
    rows = []
    for part in parts:
        found = []
        for q, k, v in _heads():
            scores = q @ k.T / math.sqrt(q.shape[1])
            best = largest(scores, np.full(len(q), keys // part))
            mass = (reference.softmax(scores) * best).sum(axis=1).mean()
            e = metrics.attention_errors(reference.attention(q, k, v),
                                         reference.softmax(scores, ~best) @ v)
            found.append((best.mean(), mass, 1.0, math.nan, e.relative, e.cosine))
        _of_heads(rows, f"float64, the {keys // part} largest exact scores", found)
    variants = [{}] + [{"select": "predict", **predictor, **rule}
                       for predictor in ({}, {"predictor": "leading-one"},
                                         {"predictor": "prefix", "prefix_dims": 8})
                       for rule in ({}, {"mean_shift": 1}, *(
                           {"rule": "top-k", "top_k": keys // part} for part in parts))]
    presets = unit("attention").PRESETS
    variants += [presets["conservative"], presets["aggressive"]]
    for parameters in variants:
        found = []
        turned = parameters.get("predictor") == "prefix"
        for (q, k, v), vectors in zip(_heads(), captured_heads(turned),
                                      strict=True):
            config = synthetic.fitted(*vectors, **parameters)
            integers = synthetic.quantised(config, *vectors)
            scores = q @ k.T / math.sqrt(q.shape[1])
            done = work(config, *integers[:2])
            chosen = kept(config, *integers[:2])
            best = largest(scores, chosen.sum(axis=1))
            e = metrics.attention_errors(reference.attention(q, k, v),
                                         model.run(config, *integers) * config.output_scale)
            found.append((chosen.mean(), (reference.softmax(scores) * chosen).sum(axis=1).mean(),
                          ((chosen & best).sum(axis=1) / chosen.sum(axis=1)).mean(), done.cycles,
                          e.relative, e.cosine))
        name = ("prefix of 8" if turned else
                "A3" if config.select == "greedy" else config.predictor)
        _of_heads(rows, f"{name}; {_rule(config)}" if parameters else "dense", found)
    return table(("engine", "keys kept", "softmax mass kept", "of the best keys, kept",
                  "cycles per query", "times dense", "error",
                  "error of the worst head"), rows)


def _reuse_cycles(config, q, k, v):
    """Cycles per query of a set that leads, and of values that reuse its map, simulated."""
    def cycles(count, reused):
        sets = [KeySet(q[:count], k, v, np.zeros(len(k), bool),
                       model.run(config, q[:count], k, v))]
        if reused:
            own = v[::-1].copy()
            sets.append(KeySet(own[:0], own[:0], own, np.zeros(0, bool),
                               AttentionMap.of(config, q[:count], k).run(config, own), 1))
        return _simulated(config, sets)

    # The next values are there by the end of the first queries.
    leading, both = ((cycles(32, reused) - cycles(24, reused)) / 8 for reused in (False, True))
    return leading, both - leading


def reuse() -> str:
    """Work of a query: dense, predictive, of a set whose map is kept, of values that reuse it."""
    rows = []
    q, k, v = synthetic.DATA["random"](np.random.default_rng(0), 128, 320, 64, 4)
    keys = len(k)

    def add(name, done, cycles=""):
        rows.append((name, f"{done.multiplications:.0f}", f"{done.terms:.0f}",
                     f"{done.table_reads:.0f}", f"{done.memory_bits / 1000:.1f}",
                     f"{done.cycles:.1f}", cycles, f"{keys / done.cycles:.1f}"))

    for name, parameters in (
            ("dense", {}), ("octave; mean, 2", {"select": "predict"}),
            ("octave; top-k, 40", {"select": "predict", "rule": "top-k"}),
            ("prefix of 16; top-k, 40", {"select": "predict", "rule": "top-k",
                                         "predictor": "prefix", "prefix_dims": 16})):
        config = synthetic.fitted(q, k, v, **parameters)
        add(name, work(config, *synthetic.quantised(config, q, k, v)[:2]))
    config = synthetic.fitted(q, k, v, reuse=True)
    integers = synthetic.quantised(config, q, k, v)
    for name, reused, cycles in zip(("map is made and kept", "map is used again"), (False, True),
                                    _reuse_cycles(config, *integers), strict=True):
        add(name, work(config, *integers[:2], reused=reused), f"{cycles:g}")
    return table(("a query", "multiplications", "terms", "table reads", "memory, kbit",
                  "cycles", "cycles, simulated", "times dense"), rows)


def reuse_errors() -> str:
    """Errors of the engine that keeps its maps, by the width of a code."""
    rows = []
    widths = (8, 6, 4)
    for name, beta in SETS:
        q, k, v = synthetic.DATA[name](np.random.default_rng(0), 128, 320, 64, beta)
        exact = reference.attention(q, k, v)
        cells = [f"{name}, {beta}"]
        for parameters in ({}, *({"reuse": True, "code_bits": bits} for bits in widths)):
            config = synthetic.fitted(q, k, v, **parameters)
            integers = synthetic.quantised(config, q, k, v)
            e = metrics.attention_errors(exact, model.run(config, *integers) * config.output_scale)
            cells.append(f"{e.relative:.3f} / {e.cosine:.4f}")
        rows.append(cells)
    return table(("data, beta", "dense, `softmax-e2:plus`",
                  *(f"map of {bits} bits" for bits in widths)), rows)


def greedy() -> str:
    """A3's search: what it finds, keeps, takes and loses, 128 queries, 320 keys of 64."""
    rows = []
    for name, beta in SETS:
        q, k, v = synthetic.DATA[name](np.random.default_rng(0), 128, 320, 64, beta)
        exact = reference.attention(q, k, v)
        weights = reference.softmax(q @ k.T / 8)
        dense = synthetic.fitted(q, k, v)
        for preset in ("conservative", "aggressive"):
            config = synthetic.fitted(q, k, v, **dense.PRESETS[preset])
            integers = synthetic.quantised(config, q, k, v)
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
    return table(("data, beta", "preset", "candidates", "kept", "softmax mass kept",
                  "cycles per query", "times dense", "multiplications", "memory bits",
                  "error", "error of the method in float64", "error, dense"), rows)


def greedy_cycles() -> str:
    """Cycles per query with A3's search, simulated, and by the model."""
    rows = []
    sets = [(f"{name}, {beta}", synthetic.DATA[name](
        np.random.default_rng(0), 24, 320, 64, beta)) for name, beta in CYCLE_SETS]
    for name, (q, k, v) in [*sets, ("captured head", captured_head())]:
        for preset in ("conservative", "aggressive"):
            config = synthetic.fitted(q, k, v, **unit("attention").PRESETS[preset])
            integers = synthetic.quantised(config, q, k, v)
            few, many = (measured_cycles(config, [(integers[0][:count], *integers[1:])])
                         for count in (8, 24))
            done = work(config, integers[0][8:], integers[1])
            latency = measured_latency(config, integers[0][:1], *integers[1:])
            dense = synthetic.fitted(q, k, v).query_latency(len(k))
            rows.append((name, f"`{preset}`", len(k), f"{100 * done.candidates / len(k):.1f} %",
                         f"{(many - few) / 16:.1f}", f"{done.cycles:.1f}",
                         f"{16 * len(k) / (many - few):.1f}", f"{latency:.0f}",
                         f"{dense / latency:.1f}"))
    return table(("data, beta", "preset", "keys", "candidates", "cycles per query, simulated",
                  "by the model", "times dense", "latency, simulated", "times dense"), rows)


def errors() -> str:
    """Errors of the dense engine against float64 attention, 128 queries, 320 keys of 64."""
    rows = []
    variants = (("softmax-e2:plus", {}), ("softmax-e2:plus", {"weight_bits": 8}),
                ("softmax-e2:paper", {}), ("softmax-split:plus", {}))
    for name, beta in SETS:
        q, k, v = synthetic.DATA[name](np.random.default_rng(0), 128, 320, 64, beta)
        exact = reference.attention(q, k, v)
        weights = reference.softmax(q @ k.T / 8)
        cells = [f"{name}, {beta}", f"{synthetic.effective_keys(weights):.1f}"]
        for softmax, parameters in variants:
            config = synthetic.fitted(q, k, v, softmax=softmax, **parameters)
            integers = synthetic.quantised(config, q, k, v)
            e = metrics.attention_errors(exact, model.run(config, *integers) * config.output_scale)
            cells.append(f"{e.relative:.3f} / {e.cosine:.4f}")
        rows.append(cells)
    return table(("data, beta", "effective keys",
                  *(f"`{s}`" + "".join(f", {n} {x}" for n, x in p.items())
                    for s, p in variants)), rows)


def error_parts() -> str:
    """Where the errors of the dense engine come from, 128 queries, 320 keys of 64."""
    rows = []
    for name, beta in SETS:
        q, k, v = synthetic.DATA[name](np.random.default_rng(0), 128, 320, 64, beta)
        exact = reference.attention(q, k, v)
        cells = [f"{name}, {beta}"]

        def add(config, outputs, cells=cells, exact=exact):
            cells.append(f"{metrics.attention_errors(exact, outputs).relative:.3f}")

        plain, fine = synthetic.fitted(q, k, v), synthetic.fine(q, k, v)
        for config in (plain, fine):
            x = synthetic.quantised(config, q, k, v)
            add(config, reference.attention(*(codes * scale for codes, scale in zip(
                x, (config.query_scale, config.key_scale, config.value_scale), strict=True))))
        coarse = {"logit_bits": plain.logit_bits, "logit_scale": plain.logit_scale}, \
            {"out_bits": plain.out_bits, "output_scale": plain.output_scale}, \
            {"softmax": plain.softmax, "weight_bits": plain.weight_bits}
        for parameters in ({}, *coarse):
            config = dataclasses.replace(fine, **parameters)
            x = synthetic.quantised(config, q, k, v)
            add(config, model.run(config, *x) * config.output_scale)
        rows.append(cells)
    return table(("data, beta", "Q, K, V rounded, float64", "with steps that just fit",
                  "engine, fine", "with 10-bit logits", "with 8-bit outputs",
                  "with `softmax-e2:plus`"), rows)


TABLES = {"attention-cycles": dense_cycles, "attention-errors": errors,
          "attention-error-parts": error_parts,
          "attention-predict": predict, "attention-predict-cycles": predict_cycles,
          "attention-captured": captured_table, "attention-greedy": greedy,
          "attention-greedy-cycles": greedy_cycles, "attention-reuse": reuse,
          "attention-reuse-errors": reuse_errors}
