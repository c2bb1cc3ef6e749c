"""Model of the attention engine: against plain integers, against float64, and what it refuses."""

import math
from fractions import Fraction

import numpy as np
import pytest

import rtl
from rtl.attention.predict.predictors import PREDICTORS, predictor
from sim import metrics, model, reference
from sim.data import synthetic
from sim.model.attention import engine
from sim.model.attention.selection import kept, predicted

Attention = rtl.unit("attention")


# Model ------------------------------------------------------------------------------------------

def by_hand(config, q, k, v, mask):
    """The documented equations, one query and one number at a time."""
    outputs = []
    for place, query in enumerate(q.tolist()):
        hidden = [bool(m) or config.causal and i > place for i, m in enumerate(mask)]
        logits = [config.logit(sum(a * b for a, b in zip(query, key, strict=True)))
                  for key in k.tolist()]
        weights = model.run(config.softmax_config, np.array(logits), np.array(hidden)).tolist()
        outputs.append([config.output(sum(w * row[j] for w, row in
                                          zip(weights, v.tolist(), strict=True)))
                        for j in range(config.dim)])
    return outputs


@pytest.mark.parametrize("parameters", [
    {}, {"causal": True}, {"query_scale": 0.3, "output_scale": 0.07}, {"bits": 4, "lanes": 3},
    {"softmax": "softmax-e2:paper", "out_bits": 12}])
def test_documented_equations(parameters):
    config = Attention(dim=6, io_lanes=2, max_keys=9, **parameters)
    rng = np.random.default_rng(1)
    for _ in range(8):
        keys = int(rng.integers(1, 10))
        q, k, v = synthetic.integers(config, rng, 4, keys)
        mask = rng.random(keys) < 0.3
        assert model.run(config, q, k, v, mask=mask).tolist() == by_hand(config, q, k, v, mask)


def test_leading_axes():
    config = Attention(dim=4, io_lanes=4, max_keys=9)
    rng = np.random.default_rng(2)
    q, k, v = (rng.integers(-99, 99, (2, 3, n, 4)) for n in (5, 7, 7))
    mask = rng.random((2, 1, 7)) < 0.3
    outputs = model.run(config, q, k, v, mask=mask)
    assert outputs.shape == q.shape and outputs.dtype == np.int32
    for i in range(2):
        for j in range(3):
            one = model.run(config, q[i, j], k[i, j], v[i, j], mask=mask[i, 0])
            assert (outputs[i, j] == one).all()


def test_long_sets_are_worked_on_in_parts():
    config = Attention(dim=2, io_lanes=2, max_keys=700, causal=True)
    q, k, v = np.random.default_rng(3).integers(-99, 99, (3, 700, 2))
    whole = model.run(config, q, k, v)
    assert (whole[:50] == model.run(config, q[:50], k, v)).all()


@pytest.mark.parametrize("preset", Attention.PRESETS)
def test_sets_at_once_are_as_each_alone(preset, monkeypatch):
    """Also where the work is cut into parts, of some sets or of some queries of one."""
    config = Attention.preset(preset, dim=4, io_lanes=4, max_keys=9)
    rng = np.random.default_rng(15)
    q, k, v = (rng.integers(-128, 128, (2, 3, n, 4)) for n in (7, 9, 9))
    mask = rng.random((2, 3, 9)) < 0.3
    mask[0, 1] = True
    for chunk in (1, 9 * 3, 9 * 7 * 2, 1 << 16):
        for name in ("CHUNK", "GREEDY_CHUNK"):
            monkeypatch.setattr(engine, name, chunk)
        y = model.run(config, q, k, v, mask=mask)
        for place in np.ndindex(2, 3):
            one = model.run(config, q[place], k[place], v[place], mask=mask[place])
            assert (y[place] == one).all()
    assert not y[0, 1].any()


def test_last_queries_of_a_set():
    config = Attention(dim=4, io_lanes=4, max_keys=9, causal=True)
    q, k, v = np.random.default_rng(16).integers(-99, 99, (3, 9, 4))
    whole = model.run(config, q, k, v)
    for start in (0, 4, 8):
        assert (model.run(config, q[start:], k, v, start=start) == whole[start:]).all()


@pytest.mark.parametrize("preset", Attention.PRESETS)
def test_heads_with_scales_of_their_own(preset):
    rng = np.random.default_rng(17)
    names = ("query_scale", "key_scale")
    if preset != "reuse":
        names += ("value_scale", "output_scale")
    configs = [Attention.preset(preset, dim=4, io_lanes=4, max_keys=9,
                                **{name: float(rng.uniform(0.02, 0.2)) for name in names})
               for _ in range(3)]
    q, k, v = (rng.integers(-128, 128, (2, 3, n, 4)) for n in (7, 9, 9))
    mask = rng.random((2, 3, 9)) < 0.3
    y = engine.run_heads(configs, q, k, v, mask)
    for batch, head in np.ndindex(2, 3):
        part = batch, head
        assert (y[part] == model.run(configs[head], q[part], k[part], v[part],
                                     mask=mask[part])).all()
    with pytest.raises(ValueError, match="Configurations of heads must differ in their scales"):
        engine.run_heads([configs[0], Attention(dim=4, io_lanes=4, max_keys=8)], q[:, :2],
                         k[:, :2], v[:, :2])
    with pytest.raises(ValueError, match=r"must have the shape \(..., 3, queries, dim\)"):
        engine.run_heads(configs, q[:, :2], k[:, :2], v[:, :2])


def test_masked_keys_are_as_good_as_none():
    config = Attention(dim=4, io_lanes=4, max_keys=9)
    rng = np.random.default_rng(4)
    q, k, v = (rng.integers(-99, 99, (n, 4)) for n in (5, 9, 9))
    mask = np.arange(9) >= 6
    assert (model.run(config, q, k, v, mask=mask) == model.run(config, q, k[:6], v[:6])).all()
    assert (model.run(config, q, k, v, mask=np.ones(9, bool)) == 0).all()


# Against float64 --------------------------------------------------------------------------------

def errors(name, beta, **parameters):
    """Errors of an engine whose scales fit the data, at 320 keys of 64."""
    q, k, v = synthetic.DATA[name](np.random.default_rng(5), 64, 320, 64, beta)
    exact = reference.attention(q, k, v)
    config = synthetic.fitted(q, k, v, **parameters)
    integers = synthetic.quantised(config, q, k, v)
    return metrics.attention_errors(exact, model.run(config, *integers) * config.output_scale)


@pytest.mark.parametrize("name, beta, relative, cosine", [
    ("random", 1, 0.11, 0.994), ("random", 4, 0.08, 0.997), ("cluster", 2, 0.06, 0.999),
    ("cluster", 4, 0.06, 0.999), ("needle", 4, 0.04, 0.999), ("lowrank", 4, 0.10, 0.997),
    ("allneg", 1, 0.11, 0.994)])
def test_error(name, beta, relative, cosine):
    found = errors(name, beta)
    assert found.relative < relative and found.cosine > cosine


def test_wider_weights_help_flat_attention():
    assert errors("random", 1, weight_bits=8).relative > 2 * errors("random", 1).relative


def test_reference():
    rng = np.random.default_rng(6)
    q, k, v = rng.normal(size=(3, 4, 5))
    weights = np.exp(q @ k.T / math.sqrt(5))
    weights /= weights.sum(axis=1, keepdims=True)
    assert np.allclose(reference.attention(q, k, v), weights @ v)
    mask = np.array([False, True, False, True])
    assert np.allclose(reference.attention(q, k, v, mask), reference.attention(q, k[::2], v[::2]))
    causal = reference.attention(q, k, v, causal=True)
    assert np.allclose(causal[1], reference.attention(q[1:2], k[:2], v[:2])[0])
    assert (reference.attention(q, k, v, np.ones(4, bool)) == 0).all()


# Prediction -------------------------------------------------------------------------------------

@pytest.mark.parametrize("bits", [4, 5, 8])
@pytest.mark.parametrize("name", PREDICTORS)
def test_terms(name, bits):
    rule = predictor(name, bits, 1)
    values = range(-(1 << (bits - 1)), 1 << (bits - 1))
    for x in values:
        assert 0 <= rule.code(x) < 1 << rule.code_bits
    terms = [rule.term(rule.code(x), rule.code(y)) for x in values for y in values]
    assert min(terms) >= 0 and max(terms) == rule.largest
    # The terms rise with the products.
    products = [x * y for x in values for y in values]
    assert np.corrcoef(products, terms)[0, 1] > 0.6


def test_leading_ones():
    """Terms of the published kind: powers of two by the sum of the places, cut at 2**6."""
    rule = predictor("leading-one", 8, 1)
    for x, y, wanted in ((64, 64, 64), (127, 127, 64), (-128, 64, -64), (8, 8, 1), (7, 8, 0),
                         (-7, 8, 0), (-8, 8, -1), (0, -127, 0), (1, 64, 1), (-127, -127, 64)):
        assert rule.term(rule.code(x), rule.code(y)) == 64 + wanted


def by_rule(config, scores, hidden):
    """What the rule keeps of one query's scores, in fractions."""
    alive = [s for s, h in zip(scores, hidden, strict=True) if not h]
    if not alive:
        return [False] * len(scores)
    top, mean = max(alive), Fraction(sum(alive), len(alive))
    limit = (top - config.threshold if config.rule == "threshold"
             else mean + (top - mean) / (1 << config.mean_shift))
    return [not h and s >= limit for s, h in zip(scores, hidden, strict=True)]


@pytest.mark.parametrize("parameters", [
    {}, {"mean_shift": 0}, {"mean_shift": 3, "causal": True}, {"rule": "threshold"},
    {"rule": "threshold", "threshold": 0, "predictor": "sign"}, {"predictor": "4-bit"},
    {"predictor": "prefix", "prefix_dims": 5}])
def test_rule(parameters):
    config = Attention.preset("predict", dim=6, io_lanes=2, max_keys=30, **parameters)
    rng = np.random.default_rng(7)
    for _ in range(6):
        q, k, _ = synthetic.integers(config, rng, 5, 30)
        mask = rng.random(30) < 0.3
        scores = predicted(config, q, k)
        for place, row in enumerate(kept(config, q, k, mask)):
            hidden = mask | (config.causal & (np.arange(30) > place))
            assert row.tolist() == by_rule(config, scores[place].tolist(), hidden)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("predictor", PREDICTORS)
def test_top_k_keeps_exactly_k(predictor, causal):
    config = Attention.preset("predict", dim=6, io_lanes=2, max_keys=30, rule="top-k", top_k=7,
                              causal=causal, predictor=predictor, prefix_dims=2)
    rng = np.random.default_rng(12)
    for _ in range(8):
        q, k, _ = synthetic.integers(config, rng, 30, 30)
        mask = rng.random(30) < 0.4
        scores = predicted(config, q, k)
        for place, row in enumerate(kept(config, q, k, mask)):
            alive = np.flatnonzero(~mask & ~(causal & (np.arange(30) > place)))
            assert row.sum() == min(7, len(alive))
            # Sorted by falling score, then by place.
            first = sorted(alive, key=lambda i: (-scores[place, i], i))[:7]
            assert np.flatnonzero(row).tolist() == sorted(first)


@pytest.mark.parametrize("top_k", [40, 100])
def test_top_k_of_all_keys_is_dense(top_k):
    common = {"dim": 6, "io_lanes": 2, "max_keys": 40}
    config = Attention.preset("predict", rule="top-k", top_k=top_k, **common)
    q, k, v = np.random.default_rng(13).integers(-127, 128, (3, 40, 6))
    mask = np.arange(40) % 5 == 1
    assert (model.run(config, q, k, v, mask=mask)
            == model.run(Attention(**common), q, k, v, mask=mask)).all()


def test_scores():
    config = Attention.preset("predict", dim=5, io_lanes=5, max_keys=9, bits=6)
    rule = config.predictor_config
    q, k, _ = synthetic.integers(config, np.random.default_rng(8), 4, 9)
    wanted = [[sum(rule.term(rule.code(a), rule.code(b)) for a, b in zip(x, y, strict=True))
               for y in k.tolist()] for x in q.tolist()]
    assert predicted(config, q, k).tolist() == wanted


@pytest.mark.parametrize("bits", [4, 8])
def test_prefix_is_a_part_of_the_dot_product(bits):
    config = Attention.preset("predict", dim=6, io_lanes=2, max_keys=30, predictor="prefix",
                              prefix_dims=4, bits=bits)
    q, k, _ = synthetic.integers(config, np.random.default_rng(14), 5, 30)
    rule = config.predictor_config
    wanted = [[sum(a * b for a, b in zip(x[:4], y[:4], strict=True)) for y in k.tolist()]
              for x in q.tolist()]
    assert (predicted(config, q, k) - 4 * rule.bias).tolist() == wanted
    terms = [[sum(rule.term(rule.code(a), rule.code(b)) for a, b in
                  zip(x[:4], y[:4], strict=True)) for y in k.tolist()] for x in q.tolist()]
    assert predicted(config, q, k).tolist() == terms


def test_what_is_kept_is_all_that_counts():
    """The outputs are those of dense attention to the kept keys alone."""
    config = Attention.preset("predict", dim=6, io_lanes=2, max_keys=40)
    dense = Attention(dim=6, io_lanes=2, max_keys=40)
    q, k, v = np.random.default_rng(9).integers(-127, 128, (3, 40, 6))
    outputs = model.run(config, q, k, v)
    chosen = kept(config, q, k)
    assert 0 < chosen.mean() < 0.5
    for place, row in enumerate(chosen):
        assert (outputs[place] == model.run(dense, q[place:place + 1], k[row], v[row])).all()


def test_without_selection_it_is_dense():
    common = {"dim": 6, "io_lanes": 2, "max_keys": 40}
    config = Attention.preset("predict", rule="threshold", threshold=65535, **common)
    q, k, v = np.random.default_rng(10).integers(-127, 128, (3, 40, 6))
    mask = np.arange(40) % 5 == 1
    assert (model.run(config, q, k, v, mask=mask)
            == model.run(Attention(**common), q, k, v, mask=mask)).all()


def test_query_of_zeros_keeps_all():
    config = Attention.preset("predict", dim=6, io_lanes=2, max_keys=40)
    q, k, _ = np.random.default_rng(11).integers(-127, 128, (3, 40, 6))
    assert kept(config, 0 * q, k).all()
    assert kept(config, q, k[:1]).all()


@pytest.mark.parametrize("name, beta, part, relative", [
    ("random", 4, 0.26, 0.09), ("cluster", 4, 0.12, 0.06), ("needle", 4, 0.13, 0.04),
    ("lowrank", 4, 0.27, 0.13)])
def test_prediction_keeps_what_counts(name, beta, part, relative):
    q, k, v = synthetic.DATA[name](np.random.default_rng(5), 64, 320, 64, beta)
    config = synthetic.fitted(q, k, v, select="predict")
    chosen = kept(config, *synthetic.quantised(config, q, k, v)[:2])
    assert chosen.mean() < part
    assert errors(name, beta, select="predict").relative < relative


# What it refuses --------------------------------------------------------------------------------

@pytest.mark.parametrize("change, error, message", [
    ({"q": np.zeros((2, 4))}, TypeError, r"^Queries must be integers, not float64$"),
    ({"q": np.zeros((2, 5), int)}, ValueError,
     r"^Queries must have the shape \(\.\.\., 4\), not \(2, 5\)$"),
    ({"k": np.full((3, 4), 200)}, ValueError, r"^Keys must be in -128\.\.127, not 200\.\.200$"),
    ({"v": np.zeros((2, 4), int)}, ValueError,
     r"^Values must have the shape \(3, 4\), as the keys, not \(2, 4\)$"),
    ({"v": np.zeros((3, 5), int)}, ValueError,
     r"^Values must have the shape \(..., 4\), not \(3, 5\)$"),
    ({"k": np.zeros((10, 4), int), "v": np.zeros((10, 4), int)}, ValueError,
     r"^Keys must be 1\.\.9, not 10$"),
    ({"q": np.zeros((7, 4), int)}, ValueError, r"^Queries must be at most 6, not 7$"),
    ({"q": np.zeros((1, 2, 4), int)}, ValueError,
     r"^Leading axes of the queries must be those of the keys \(\), not \(1,\)$"),
    ({"mask": np.zeros(3, int)}, TypeError, r"^Mask must be boolean, not int64$"),
    ({"mask": np.zeros(4, bool)}, ValueError, r"^Mask must fit the shape \(3,\), not \(4,\)$"),
])
def test_wrong_argument(change, error, message):
    config = Attention(dim=4, io_lanes=4, max_keys=9, max_queries=6)
    arguments = {"q": np.zeros((2, 4), int), "k": np.zeros((3, 4), int),
                 "v": np.zeros((3, 4), int), "mask": None, **change}
    with pytest.raises(error, match=message):
        model.run(config, arguments["q"], arguments["k"], arguments["v"], mask=arguments["mask"])
