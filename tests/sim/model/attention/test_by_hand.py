"""The model of the attention engine against plain functions of each of its kinds.

They take the user's parameters, and share nothing with the configuration. The softmax of a row is
that of a unit which is configured by itself; exponentials of maps are computed here.
"""

import math
import random
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import rtl
from sim import model
from sim.testing import plain

Attention = rtl.unit("attention")

DENSE = {
    "bits": 8, "query_scale": 0.0625, "key_scale": 0.0625, "value_scale": 0.0625, "max_keys": 320,
    "dim": 64, "lanes": 1, "logit_bits": 10, "logit_scale": 0.03125, "softmax": "softmax-e2:plus",
    "weight_bits": 12, "out_bits": 8, "output_scale": 0.0625, "causal": False, "select": "none",
    "predictor": "octave", "prefix_dims": 8, "rule": "mean", "mean_shift": 2,
    "threshold": 256, "top_k": 40, "iterations_per_key": 0.5, "percent": 5.0, "min_skip": True,
    "empty": "all", "reuse": False, "code_bits": 8}
PRESETS = {
    "dense": DENSE, "predict": {**DENSE, "select": "predict"},
    "conservative": {**DENSE, "select": "greedy"},
    "aggressive": {**DENSE, "select": "greedy", "iterations_per_key": 0.125, "percent": 10.0},
    "reuse": {**DENSE, "reuse": True}}

# What a step of a softmax unit's output of w bits is worth.
WEIGHT_SCALES = {"e2": lambda w: Fraction(1, 1 << w), "split": lambda w: Fraction(1, 1 << w),
                 "rexp": lambda w: Fraction(1, (1 << w) - 1),
                 "lut2d": lambda w: Fraction(1, (1 << w) - 1),
                 "softermax": lambda w: Fraction(1, 1 << w - 1)}


# Requantisation ---------------------------------------------------------------------------------

def requantiser(square, bits):
    """Function of an integer: times the root of ``square``, rounded, saturated to ``bits`` bits.

    The root has 16 significant bits.
    """
    place = math.floor(plain.log2(square) / 2)
    place += (Fraction(4) ** (place + 1) <= square) - (Fraction(4) ** place > square)
    # The nearest integer to the root: its square lies between those of the halves around it.
    scaled = square * Fraction(4) ** (15 - place)
    multiplier = math.isqrt(math.floor(scaled))
    multiplier += scaled >= (multiplier + Fraction(1, 2)) ** 2
    ratio = multiplier * Fraction(2) ** (place - 15)
    return lambda value: saturated(plain.half_up(value * ratio), bits)


def saturated(value, bits):
    return min(max(value, -(1 << bits - 1)), (1 << bits - 1) - 1)


def dot(a, b):
    return plain.row_sum(sum(x * y for x, y in zip(a, b, strict=True)), 0)


# Selection --------------------------------------------------------------------------------------

def leading_one(x, y, bits):
    """``2**(e_x + e_y - (bits - 2))`` of the places of the leading ones; less is 0.

    With the sign of the product. The least element counts as the next one.
    """
    if not x or not y:
        return 0
    places = [min(plain.leading_one(abs(v)), bits - 2) for v in (x, y)]
    value = 1 << sum(places) >> bits - 2
    return -value if (x < 0) != (y < 0) else value


def four_bits(x, y, bits):
    """Product of the elements rounded to -7..7, halves away from 0."""
    def code(v):
        size = min(plain.half_up(Fraction(abs(v) * 8, 1 << bits - 1)), 7)
        return size if v > 0 else -size
    return code(x) * code(y)


def octaves(x, y, bits):
    """Product of magnitudes of 0, 1, 2 or 4 units of 1/8, halves away from 0; at most 15.

    Negative by one's complement.
    """
    sizes = [(0, 1, 2, 4)[min(plain.half_up(Fraction(abs(v) * 8, 1 << bits - 1)), 3)]
             for v in (x, y)]
    product = min(sizes[0] * sizes[1], 15)
    return -1 - product if product and (x < 0) != (y < 0) else product


def score(p, q, k):
    """Predicted score of a key, but for a constant."""
    term = {"leading-one": leading_one, "4-bit": four_bits,
            "octave": octaves, "sign": lambda x, y, bits: int((x < 0) == (y < 0)),
            "prefix": lambda x, y, bits: x * y}[p.predictor]
    dims = p.prefix_dims if p.predictor == "prefix" else p.dim
    return sum(term(x, y, p.bits) for x, y in zip(q[:dims], k[:dims], strict=True))


def predicted(p, q, keys, live):
    """Keys whose predicted score is high: the live ones of them, in order."""
    scores = {i: score(p, q, keys[i]) for i in live}
    top = max(scores.values())
    if p.rule == "top-k":
        # Of equal scores the first ones.
        return sorted(sorted(live, key=lambda i: (-scores[i], i))[:p.top_k])
    if p.rule == "threshold":
        return [i for i in live if scores[i] >= top - p.threshold]
    mean = Fraction(sum(scores.values()), len(live))
    return [i for i in live if scores[i] >= mean + (top - mean) / (1 << p.mean_shift)]


def search(p, q, keys, live, iterations):
    """Keys with a positive score after A3's greedy search, and the scores.

    Of each column all products in the order in which its two pointers meet them. An iteration takes
    the largest one over the columns, and unless what was taken so far is negative, the smallest.
    """
    orders = {}
    for j, x in enumerate(q):
        if x:
            # Ascending, equal elements by row; with a negative query the pointers change sides.
            column = sorted(live, key=lambda i: (keys[i][j], i))
            falling = column[::-1] if x > 0 else column
            orders[j] = [falling, falling[::-1]]
    at = {j: [0, 0] for j in orders}
    scores, total = dict.fromkeys(live, 0), 0
    for _ in range(iterations):
        for half in 0, 1:
            if half and p.min_skip and total < 0:
                continue
            heads = {j: q[j] * keys[orders[j][half][at[j][half]]][j] for j in orders
                     if at[j][half] < len(live)}
            if not heads:
                continue
            # Of equal products that of the lowest dimension.
            j = (min if half else max)(heads, key=lambda j: (heads[j], j if half else -j))
            value = heads[j]
            if (value < 0) if half else (value > 0):
                scores[orders[j][half][at[j][half]]] += value
                total += value
            at[j][half] += 1
    return [i for i in live if scores[i] > 0]


def greedy(p, q, keys, live, x):
    """Candidates of the search, and of these those whose weight is ``percent`` of the best."""
    iterations = plain.half_up(Fraction(p.iterations_per_key) * p.max_keys)
    found = search(p, q, keys, live, iterations) or (live if p.empty == "all" else live[:1])
    steps = Fraction(math.log(100 / p.percent)) / Fraction(p.logit_scale)
    distance = min(plain.half_up(steps), (1 << p.logit_bits) - 1)
    best = max(x[i] for i in found)
    return [i for i in found if x[i] >= best - distance]


# Attention --------------------------------------------------------------------------------------

def by_hand(**parameters):
    """Attention of one query of a set, at a place in it."""
    p = SimpleNamespace(**parameters)
    square = (Fraction(p.query_scale) * Fraction(p.key_scale) / Fraction(p.logit_scale)) ** 2
    logit = requantiser(square / p.dim, p.logit_bits)
    end = mapped(p) if p.reuse else weighed(p)

    def attention(place, q, keys, values, mask):
        live = [i for i in range(len(keys)) if not mask[i] and (i <= place or not p.causal)]
        if not live:
            return [0] * p.dim
        x = [logit(dot(q, key)) for key in keys]
        kept = {"none": lambda: live, "predict": lambda: predicted(p, q, keys, live),
                "greedy": lambda: greedy(p, q, keys, live, x)}[p.select]()
        return end(x, kept, values)
    return attention


def weighed(p):
    """Softmax by a unit, and sum of the values by its weights."""
    name, _, preset = p.softmax.partition(":")
    preset, *options = preset.split(",")
    options = {key: int(value) for key, _, value in (o.partition("=") for o in options)}
    unit = rtl.unit(name).preset(
        preset or "plus", bits=p.logit_bits, input_scale=p.logit_scale, out_bits=p.weight_bits,
        lanes=p.lanes, max_length=p.max_keys, **options)
    worth = WEIGHT_SCALES[name.removeprefix("softmax-")](p.weight_bits)
    output = requantiser((worth * Fraction(p.value_scale) / Fraction(p.output_scale)) ** 2,
                         p.out_bits)

    def end(x, kept, values):
        # What is selected has a row of its own; otherwise keys that take no part are in it.
        row = kept if p.select != "none" else range(len(x))
        hidden = np.array([i not in kept for i in row])
        weights = model.run(unit, np.array([x[i] for i in row]), hidden).tolist()
        return [output(dot(weights, column))
                for column in zip(*(values[i] for i in row), strict=True)]
    return end


def exponential(p, distance):
    """Code of a distance, ``2**w * e**-d``: a product of two table words, rounded, below 1.

    The upper and the lower bits of the distance have a table each, of three bits more than a code.
    """
    low_bits = p.logit_bits // 2
    finer = p.code_bits + 3
    low, high = distance % (1 << low_bits), distance >> low_bits << low_bits
    words = [plain.half_up(plain.e_to(-part * Fraction(p.logit_scale)) * (1 << finer))
             for part in (high, low)]
    code = plain.half_up(Fraction(words[0] * words[1], 1 << 2 * finer - p.code_bits))
    return min(code, (1 << p.code_bits) - 1)


def mapped(p):
    """Codes of the exponentials, sum of the values by them, and division by their sum.

    The factor is ``ratio / (1 + m)``, for the middle of what ten bits below the sum's leading one
    leave open. It has 17 bits where ``m`` is 0.
    """
    ratio = Fraction(p.value_scale) / Fraction(p.output_scale)
    place = math.floor(plain.log2(ratio))
    place += (Fraction(2) ** (place + 1) <= ratio) - (Fraction(2) ** place > ratio)
    finer = 16 - place
    known = {}

    def end(x, kept, values):
        top = max(x[i] for i in kept)
        for d in {top - x[i] for i in kept} - set(known):
            known[d] = exponential(p, d)
        codes = {i: known[top - x[i]] for i in kept}
        total = sum(codes.values())
        leading = plain.leading_one(total)
        mantissa = ((total << 10) >> leading) + Fraction(1, 2)
        factor = plain.half_up(ratio * Fraction(2) ** finer * 1024 / mantissa)
        return [saturated(plain.half_up(sum(c * values[i][j] for i, c in codes.items()) * factor
                                        / Fraction(2) ** (finer + leading)), p.out_bits)
                for j in range(p.dim)]
    return end


# Sets -------------------------------------------------------------------------------------------

def sets(seed, p, count=6, queries=6):
    """Sets of queries, keys, values and masks: elements that are small, large, and often equal."""
    source = random.Random(seed)
    low, high = -(1 << p["bits"] - 1), (1 << p["bits"] - 1) - 1
    for number in range(count):
        keys = [p["max_keys"], 1][number] if number < 2 else source.randint(1, p["max_keys"])
        spread = [high, 0.2 * high, 0.5 * high, 1.5][number % 4]

        def vectors(length, spread=spread):
            return [[min(max(round(source.gauss(0, spread)), low), high)
                     for _ in range(p["dim"])] for _ in range(length)]
        q, k, v = vectors(queries), vectors(keys), vectors(keys, high)
        q[0] = [0] * p["dim"]
        q[1] = [low] * p["dim"]
        hidden = [0, 0, 0.3, 0.1, 0, 0.9][number % 6]
        yield q, k, v, [source.random() < hidden for _ in k]


def mismatch(config, function, cases):
    """First query for which the plain function and the model differ, and what they give; or None.

    With the set's keys, values and mask.
    """
    for q, k, v, mask in cases:
        found = model.run(config, *map(np.array, (q, k, v)), mask=np.array(mask)).tolist()
        for place, (query, y) in enumerate(zip(q, found, strict=True)):
            if y != (wanted := function(place, query, k, v, mask)):
                return query, k, v, mask, y, wanted
    return None


SMALL = {"dim": 6, "io_lanes": 2, "max_keys": 23}


def made(preset, changes):
    changes = {**SMALL, **({} if preset != "predict" else {"prefix_dims": 4}), **changes}
    return Attention.preset(preset, **changes), {**PRESETS[preset], **changes}


SOFT = {"logit_scale": 0.0625, "query_scale": 0.02}
CASES = [
    *(("dense", change) for change in (
        {}, {"causal": True}, {"query_scale": 0.3, "output_scale": 0.07}, {"bits": 4, "lanes": 3},
        {"dim": 4, "io_lanes": 4}, {"dim": 1, "io_lanes": 1}, {"logit_bits": 16, **SOFT},
        {"out_bits": 16, "output_scale": 0.0001}, {"out_bits": 4}, {"lanes": 8, **SOFT},
        {"query_scale": 1e-4, "key_scale": 3.0}, {"bits": 8, "dim": 12, "lanes": 2},
        *({"softmax": name, "weight_bits": 9, **SOFT} for name in (
            "softmax-e2:paper", "softmax-rexp:plus", "softmax-rexp:online,partial_sums=2",
            "softmax-lut2d:paper", "softmax-split:plus", "softmax-softermax:plus")))),
    *(("predict", {"predictor": name, "rule": rule, "top_k": 5, "threshold": 20, **change})
      for name in ("leading-one", "4-bit", "octave", "sign", "prefix")
      for rule in ("mean", "threshold", "top-k")
      for change in ({}, {"causal": True, "bits": 5, **SOFT})),
    ("predict", {"mean_shift": 0}), ("predict", {"mean_shift": 6}),
    ("predict", {"bits": 4, "predictor": "4-bit"}), ("predict", {"top_k": 1, "rule": "top-k"}),
    *((preset, change) for preset in ("conservative", "aggressive") for change in (
        {}, SOFT, {"min_skip": False}, {"empty": "first"}, {"iterations_per_key": 6.0, **SOFT},
        {"bits": 4, "percent": 0.001}, {"percent": 100.0, "dim": 2}, {"percent": 40.0, **SOFT})),
    *(("reuse", change) for change in (
        {}, {"causal": True}, SOFT, {"code_bits": 4, **SOFT}, {"code_bits": 12, **SOFT},
        {"output_scale": 0.07, "value_scale": 0.3}, {"out_bits": 16, "output_scale": 1e-4},
        {"value_scale": 0.01, "output_scale": 8.0}, {"logit_bits": 4, "logit_scale": 1.0})),
]


@pytest.mark.parametrize("preset, changes", CASES)
def test_by_hand(preset, changes):
    config, parameters = made(preset, changes)
    seed = f"{preset}{changes}"
    found = mismatch(config, by_hand(**parameters), sets(seed, parameters))
    assert found is None, f"seed {seed}"


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_at_their_own_size(preset):
    """320 keys of 64: for a greedy search two queries."""
    config = Attention.preset(preset)
    cases = list(sets(preset, PRESETS[preset], count=1, queries=4))
    assert mismatch(config, by_hand(**PRESETS[preset]), cases) is None


def test_selection_with_two_partial_sums():
    changes = {"dim": 1, "io_lanes": 1, "max_keys": 10, "query_scale": 0.5, "predictor": "4-bit",
               "rule": "top-k", "top_k": 7, "softmax": "softmax-e2:plus,partial_sums=2"}
    config, parameters = made("predict", changes)
    keys = [[k] for k in (28, -45, -54, 10, 70, -56, 101, -24, -88, 77)]
    values = [[127 if i % 2 else -127] for i in range(10)]
    one = [[-8]], keys, values, [False] * 10
    # The keys 0 to 3, 5, 7 and 8 stay. By themselves they give -93, and so does the hardware.
    assert by_hand(**parameters)(0, [-8], keys, values, [False] * 10) == [-93]
    assert mismatch(config, by_hand(**parameters), [one]) is None


# Faults that must show --------------------------------------------------------------------------

def shows(preset, changes, **faulty):
    """Whether the comparison finds that the model has parameters that the plain function has not.

    Otherwise the plain function has a fault.
    """
    config, parameters = made(preset, changes)
    cases = list(sets(preset, parameters, count=6, queries=8))
    return mismatch(config, by_hand(**{**parameters, **faulty}), cases) is not None


@pytest.mark.parametrize("preset, changes, faulty", [
    ("dense", SOFT, {"logit_scale": 0.0625 * (1 + 2 ** -10)}),
    ("dense", {}, {"causal": True}), ("dense", {}, {"output_scale": 0.0625 * (1 + 2 ** -6)}),
    ("dense", SOFT, {"softmax": "softmax-e2:plus,sum_fraction_bits=4"}),
    ("predict", {}, {"mean_shift": 3}), ("predict", {}, {"predictor": "4-bit"}),
    ("predict", {"rule": "threshold", "threshold": 8}, {"threshold": 9}),
    ("predict", {"rule": "top-k", "top_k": 5}, {"top_k": 6}),
    ("predict", {"predictor": "prefix"}, {"prefix_dims": 3}),
    # One iteration less, and one more, where all candidates weigh alike.
    ("conservative", {**SOFT, "query_scale": 0.001}, {"iterations_per_key": 11 / 23}),
    ("conservative", {**SOFT, "query_scale": 0.001}, {"iterations_per_key": 13 / 23}),
    ("conservative", {**SOFT, "query_scale": 0.001}, {"min_skip": False}),
    ("conservative", {}, {"empty": "first"}),
    ("conservative", {**SOFT, "query_scale": 0.01}, {"percent": 6.0}),
    ("reuse", SOFT, {"code_bits": 7})])
def test_another_parameter_shows(preset, changes, faulty):
    assert not shows(preset, changes)
    assert shows(preset, changes, **faulty)


def last_of_equals(p, q, keys, live):
    """Fault: of equal scores the last keys."""
    scores = {i: score(p, q, keys[i]) for i in live}
    return sorted(sorted(live, key=lambda i: (-scores[i], -i))[:p.top_k])


def short_dot(a, b):
    """Fault: a sum that is one bit short."""
    total = sum(x * y for x, y in zip(a, b, strict=True))
    return (total + (1 << 15)) % (1 << 16) - (1 << 15)


@pytest.mark.parametrize("place, step, fault, preset, changes", [
    (plain, "half_up", math.floor, "dense", {}), (plain, "half_up", math.floor, "reuse", SOFT),
    (None, "dot", short_dot, "dense", {}), (None, "octaves", lambda x, y, bits: x * y >> 8,
                                            "predict", {}),
    (None, "predicted", last_of_equals, "predict", {"rule": "top-k", "top_k": 5,
                                                    "predictor": "sign"}),
    (None, "saturated", lambda value, bits: value, "dense", {"output_scale": 0.001})])
def test_a_fault_shows(monkeypatch, place, step, fault, preset, changes):
    assert not shows(preset, changes)
    if place is None:
        monkeypatch.setitem(globals(), step, fault)
    else:
        monkeypatch.setattr(place, step, fault)
    assert shows(preset, changes)
