"""Units in ONNX models: ONNX's own node test cases, and bit-exactness with the integer models."""

import importlib
import json
import math
import tomllib

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")

from onnx import TensorProto, helper  # noqa: E402
from onnx.backend.test.case import node as node_cases  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

import rtl  # noqa: E402
from sim import accuracy, model  # noqa: E402
from sim.accuracy.settings import Settings  # noqa: E402

# Files of ONNX's node cases, and the operator that a unit takes over in each.
FILES = {"softmax": "Softmax", "attention": "Attention",
         "layernormalization": "LayerNormalization", "rmsnormalization": "RMSNormalization"}
# Fine units: what they add to a case is small, so that a wrong mask or axis shows.
SOFTMAX = "softmax-split:plus,bits=16,out_bits=16"
LAYERNORM = "layernorm-exact:bits=16,out_bits=16"


def cases():
    """ONNX's node cases of the operators, and of their expansions that hold a Softmax."""
    for file in FILES:
        importlib.import_module(f"{node_cases.__name__}.{file}")
    wanted = {*FILES.values()}
    return {case.name: case for case in node_cases._NodeTestCases
            if wanted & {node.op_type for node in case.model.graph.node}}


CASES = cases()


def operands(case):
    """Feed of a case, and its outputs."""
    (inputs, outputs), = case.data_sets
    arrays = [onnx.numpy_helper.to_array(x) if isinstance(x, TensorProto) else x for x in inputs]
    names = [each.name for each in case.model.graph.input]
    return dict(zip(names, arrays, strict=True)), outputs


def test_the_cases_are_there():
    kinds = [CASES[name].model.graph.node[0].op_type for name in PLAIN]
    assert kinds.count("Softmax") >= 7 and kinds.count("Attention") >= 60
    assert kinds.count("LayerNormalization") >= 19 and kinds.count("RMSNormalization") >= 19
    assert len(PLAIN) >= 131 and len(CASES) > len(PLAIN)


def allowed(hw, kind, feed):
    """Error that the unit may add to a case's first output, from its steps."""
    settings = hw.settings
    if kind in ("Softmax", "Attention"):
        config = settings.softmax
        # Both ends of a ratio of exponentials are rounded; what saturates had no weight.
        weight = math.expm1(config.input_scale) + 2.0 ** -10
        sizes = [np.abs(each.astype(np.float64)) for each in feed.values()]
        # Some cases have values of thousands, or infinite ones, at keys that are masked.
        most = 1.0 if kind == "Softmax" else max(
            float(size.max(where=size < 100, initial=0.0)) for size in sizes)
        return weight * most
    norm, = settings.layernorm.values()
    gamma = np.abs(feed["W"]).max()
    rows = feed["X"].reshape(-1, norm.config.channels).astype(np.float64)
    deviation = np.sqrt((rows ** 2).mean(1) if norm.config.rms else rows.var(1)).min()
    # Rounding of the input, and its reach into mean and deviation; some steps of the output.
    return float(4 * max(norm.input_steps) / deviation * gamma + 3 * max(norm.output_steps))


PLAIN = [name for name, case in CASES.items() if len(case.model.graph.node) == 1]


def check(name):
    """All outputs of ONNX's case, those of the unit within what its steps allow."""
    case = CASES[name]
    feed, outputs = operands(case)
    kinds = {node.op_type for node in case.model.graph.node}
    kind = next(kind for kind in FILES.values() if kind in kinds)
    unit = {"softmax": SOFTMAX} if kind in ("Softmax", "Attention") else {"layernorm": LAYERNORM}
    # Without a row that lives there is nothing to calibrate on.
    batches = None if "structural_empty" in name else [feed]
    hw = accuracy.onnx_reference(case.model, calibrate=batches, method="largest", **unit)
    found = hw.run(None, feed)
    assert len(found) == len(outputs)
    bound = allowed(hw, kind if name in PLAIN else "Attention", feed)
    assert bound < 0.5
    for place, (y, wanted) in enumerate(zip(found, outputs, strict=True)):
        assert y.dtype == wanted.dtype and y.shape == wanted.shape
        float_only = name in PLAIN and in_float(case.model.graph.node[0], place)
        eps = {2: 2.0 ** -7, 4: 1e-5, 8: 1e-12}[y.dtype.itemsize]
        y, wanted = y.astype(np.float64), wanted.astype(np.float64)
        finite = np.isfinite(wanted)
        assert (y[~finite] == wanted[~finite]).all()
        np.testing.assert_allclose(y[finite], wanted[finite], rtol=eps,
                                   atol=eps if float_only else bound + eps)


def in_float(node, place):
    """Whether an output is no unit's: caches, statistics and products, but for weights."""
    number = [number for number, name in enumerate(node.output) if name][place]
    mode = [each.i for each in node.attribute if each.name == "qk_matmul_output_mode"]
    return number > 0 and not (number == 3 and mode == [3])


@pytest.mark.parametrize("name", PLAIN)
def test_node_case(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(PLAIN)))
def test_expanded_node_case(name):
    """Attention written out, with masks that are added before a Softmax."""
    check(name)


# Bit-exactness -----------------------------------------------------------------------------------

def graph(nodes, inputs, outputs, opset=24, functions=(), initializers=()):
    """Model of float inputs and outputs of these names and shapes."""
    def values(each):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in each.items()]
    built = helper.make_graph(nodes, "graph", values(inputs), values(outputs),
                              initializer=list(initializers))
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_model(built, opset_imports=imports, functions=list(functions))


def softmax_model(shape, opset=24, **attributes):
    node = helper.make_node("Softmax", ["x"], ["y"], **attributes)
    return graph([node], {"x": shape}, {"y": shape}, opset)


def by_unit(config, x, offset=0):
    """The quantiser, in float64."""
    codes = np.floor(x.astype(np.float64) / config.input_scale + 0.5) + offset
    return np.clip(codes, -(1 << (config.bits - 1)), (1 << (config.bits - 1)) - 1).astype(int)


@pytest.mark.parametrize("unit", [f"{name}:{preset}" for name in rtl.units()
                                  if name.startswith("softmax-")
                                  for preset in rtl.unit(name).PRESETS])
@pytest.mark.parametrize("axis", (0, 1, -1))
def test_softmax_is_bit_exact(unit, axis):
    x = (np.random.default_rng(0).normal(size=(3, 5, 7)) * 3).astype(np.float32)
    hw = accuracy.onnx_reference(softmax_model(x.shape, axis=axis), softmax=unit,
                                 calibrate=[{"x": x}])
    config, (offset,) = hw.settings.softmax, hw.settings.heads["y"]
    rows = np.moveaxis(x, axis, -1)
    wanted = model.run(config, by_unit(config, rows, offset)) * config.output_scale
    y, = hw.run(None, {"x": x})
    assert np.array_equal(y, np.moveaxis(wanted, -1, axis).astype(np.float32))


@pytest.mark.parametrize("opset, axis", ((11, None), (11, 1), (12, 2), (9, 0)))
def test_old_softmax_goes_over_all_further_axes(opset, axis):
    """Up to opset 12, and from axis 1 on by default."""
    x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    built = softmax_model(x.shape, opset, **({} if axis is None else {"axis": axis}))
    hw = accuracy.onnx_reference(built, softmax=SOFTMAX, calibrate=[{"x": x}])
    y, = hw.run(None, {"x": x})
    axes = tuple(range(1 if axis is None else axis, 3))
    np.testing.assert_allclose(y.sum(axis=axes), 1.0, atol=1e-3)
    exact = np.exp(x) / np.exp(x).sum(axis=axes, keepdims=True)
    np.testing.assert_allclose(y, exact, atol=4e-3)


def test_masked_elements_take_no_part():
    """Masks of models in a plain Softmax: added numbers as low as -1e4, and minus infinity."""
    config = rtl.unit("softmax-e2").preset("plus")
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 6)).astype(np.float32)
    dead = np.random.default_rng(3).random((2, 1, 4, 6)) < 0.4
    dead[0, 0, 1] = True
    wanted = model.run(config, by_unit(config, x), np.broadcast_to(dead, x.shape))
    for low in (-1e4, -np.inf, np.finfo(np.float32).min):
        hw = accuracy.onnx_reference(softmax_model(x.shape), softmax=config)
        y, = hw.run(None, {"x": np.where(dead, np.float32(low), x)})
        assert np.array_equal(y, wanted * config.output_scale)
    assert not y[0, :, 1].any()


@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
def test_attention_is_bit_exact(dtype):
    """Weights of each head with its offset, bias and soft cap before the quantiser."""
    random = np.random.default_rng(4)
    q, k, v = (random.normal(size=(2, heads, n, 8)).astype(dtype) * dtype(2)
               for heads, n in ((4, 5), (2, 6), (2, 6)))
    mask = random.normal(size=(2, 1, 5, 6)).astype(dtype)
    mask[0, 0, :, 4:] = -np.inf
    node = helper.make_node("Attention", ["q", "k", "v", "m"], ["y", "", "", "w"], is_causal=1,
                            softcap=4.0, qk_matmul_output_mode=3)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shapes = {"q": q, "k": k, "v": v, "m": mask}
    built = helper.make_model(helper.make_graph(
        [node], "graph", [helper.make_tensor_value_info(n, kind, a.shape)
                          for n, a in shapes.items()],
        [helper.make_tensor_value_info("y", kind, q.shape),
         helper.make_tensor_value_info("w", kind, (2, 4, 5, 6))]),
        opset_imports=[helper.make_opsetid("", 24)])
    hw = accuracy.onnx_reference(built, softmax="softmax-e2:plus", calibrate=[shapes],
                                 method="largest")
    config, offsets = hw.settings.softmax, np.array(hw.settings.heads["y"])
    assert len(offsets) == 4 and len(set(offsets.tolist())) > 1
    wide = np.float64 if dtype == np.float64 else np.float32
    repeated = np.repeat(k, 2, axis=1).astype(wide)
    x = np.tanh(q.astype(wide) @ repeated.swapaxes(2, 3) * wide(8 ** -0.5) / 4.0) * 4.0
    dead = (mask == -np.inf) | (np.arange(6) > np.arange(5)[:, None])
    x = x + np.where(mask == -np.inf, 0, mask)
    wanted = model.run(config, by_unit(config, x, offsets[:, None, None]),
                       np.broadcast_to(dead, x.shape)) * config.output_scale
    y, weights = hw.run(None, shapes)
    assert np.array_equal(weights, wanted.astype(dtype))
    assert np.array_equal(y, (weights.astype(wide)
                              @ np.repeat(v, 2, axis=1).astype(wide)).astype(dtype))


@pytest.mark.parametrize("unit", ("layernorm-ai", "layernorm-exact:bits=10"))
@pytest.mark.parametrize("kind", ("LayerNormalization", "RMSNormalization"))
def test_norms_are_bit_exact(kind, unit):
    """From the saved settings, over two axes."""
    random = np.random.default_rng(5)
    x, gamma, beta = (random.normal(size=shape).astype(np.float32)
                      for shape in ((20, 4, 6), (4, 6), (4, 6)))
    names = ["x", "w", "b"][:2 if kind == "RMSNormalization" else 3]
    feed = dict(zip(names, (x, gamma, beta), strict=False))
    built = graph([helper.make_node(kind, names, ["y"], axis=1)],
                  {name: array.shape for name, array in feed.items()}, {"y": x.shape})
    hw = accuracy.onnx_reference(built, layernorm=unit, calibrate=[feed])
    norm = Settings.from_dict(json.loads(hw.settings.to_json())).layernorm["y"]
    assert norm.config.rms == (kind == "RMSNormalization") and norm.config.channels == 24
    codes = np.floor((x.reshape(20, 24) - norm.input_offset) / np.array(norm.input_steps) + 0.5)
    codes = np.clip(codes + norm.config.zero_point, *norm.config.raw_range).astype(int)
    wanted = (model.run(norm.config, codes) * np.array(norm.output_steps)).astype(np.float32)
    y, = hw.run(None, feed)
    assert np.array_equal(y, wanted.reshape(x.shape))
    with pytest.raises(accuracy.AccuracyError, match="Scale of y must be the one"):
        hw.run(None, {**feed, "w": -gamma})


# Models ------------------------------------------------------------------------------------------

def block(functions=False):
    """Attention written out, a normalisation, a branch with a softmax of its own."""
    random = np.random.default_rng(6)
    weights = [helper.make_tensor(name, TensorProto.FLOAT, shape,
                                  random.normal(size=shape).astype(np.float32).ravel())
               for name, shape in (("w", (8, 8)), ("gamma", (8,)), ("beta", (8,)))]
    weights.append(helper.make_tensor("yes", TensorProto.BOOL, (), [True]))
    then, other = (helper.make_graph([helper.make_node(kind, ["normal"], [name])], name, [], [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 5, 8))])
        for kind, name in (("Softmax", "branch"), ("Relu", "other")))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]),
             helper.make_node("Transpose", ["p"], ["t"], perm=[0, 2, 1]),
             helper.make_node("MatMul", ["p", "t"], ["s"]),
             helper.make_node("Weights", ["s"], ["a"], domain="local") if functions
             else helper.make_node("Softmax", ["s"], ["a"]),
             helper.make_node("MatMul", ["a", "x"], ["o"]),
             helper.make_node("LayerNormalization", ["o", "gamma", "beta"], ["normal"]),
             helper.make_node("If", ["yes"], ["y"], then_branch=then, else_branch=other)]
    function = helper.make_function(
        "local", "Weights", ["x"], ["inside"], [helper.make_node("Softmax", ["x"], ["inside"])],
        [helper.make_opsetid("", 24)])
    return graph(nodes, {"x": (2, 5, 8)}, {"y": (2, 5, 8)}, initializers=weights,
                 functions=[function] if functions else [])


@pytest.mark.parametrize("functions", (False, True))
def test_functions_and_branches(functions):
    """A softmax inside a function of the model, and inside a branch, are units too."""
    built = block(functions)
    feeds = [{"x": np.random.default_rng(n).normal(size=(2, 5, 8)).astype(np.float32)}
             for n in range(3)]
    hw = accuracy.onnx_reference(built, softmax="softmax-split:plus", layernorm="layernorm-exact",
                                 calibrate=feeds[:2])
    inside = "inside" if functions else "a"
    assert set(hw.settings.heads) == {inside, "branch"}
    assert set(hw.settings.layernorm) == {"normal"}
    y, = hw.run(None, feeds[2])
    exact, = ReferenceEvaluator(built).run(None, feeds[2])
    assert 0 < np.abs(y - exact).max() < 0.15
    if not functions:
        own, = ReferenceEvaluator(built, new_ops=hw.new_ops).run(None, feeds[2])
        assert np.array_equal(own, y)
    assert (hw.input_names, hw.output_names) == (["x"], ["y"])


@pytest.mark.parametrize("suffix", (".json", ".toml"))
def test_settings_and_files(tmp_path, suffix):
    built = block()
    feed = {"x": np.random.default_rng(7).normal(size=(2, 5, 8)).astype(np.float32)}
    hw = accuracy.onnx_reference(built, softmax="softmax-e2:plus", layernorm="layernorm-exact",
                                 calibrate=[feed])
    hw.save(tmp_path / f"units{suffix}")
    onnx.save(built, tmp_path / "model.onnx")
    for source in (tmp_path / "model.onnx", str(tmp_path / "model.onnx"),
                   built.SerializeToString()):
        other = accuracy.onnx_reference(source, settings=tmp_path / f"units{suffix}")
        assert other.settings == hw.settings
        assert np.array_equal(other.run(None, feed)[0], hw.run(None, feed)[0])


def test_emitted_is_what_was_evaluated(tmp_path):
    x = np.random.default_rng(8).normal(size=(4, 9)).astype(np.float32)
    hw = accuracy.onnx_reference(softmax_model(x.shape), calibrate=[{"x": x}],
                                 softmax="softmax-e2:plus,lanes=2,max_length=16")
    folder, scales = hw.emit(tmp_path)
    assert rtl.UnitConfig.load(folder / "config.json") == hw.settings.softmax
    assert Settings.load(scales) == hw.settings
    assert tomllib.loads(hw.settings.to_toml())["heads"]["y"]["offsets"]


def test_offsets_of_heads():
    """Heads whose logits are far apart are as exact as one alone."""
    x = np.random.default_rng(9).normal(size=(2, 3, 8, 8)).astype(np.float32)
    x += np.array([-30, 0, 40], np.float32)[:, None, None]
    built = softmax_model(x.shape)
    exact, = ReferenceEvaluator(built).run(None, {"x": x})
    hw = accuracy.onnx_reference(built, softmax="softmax-split:plus", calibrate=[{"x": x}])
    assert len(hw.settings.heads["y"]) == 3
    assert np.abs(hw.run(None, {"x": x})[0] - exact).max() < 0.02
    plain = accuracy.onnx_reference(built, softmax="softmax-split:plus")
    assert np.abs(plain.run(None, {"x": x})[0] - exact).max() > 0.2


def test_rows_that_a_padded_batch_has():
    """Padding counts in no statistic: offsets are those of the live rows alone."""
    x = np.random.default_rng(10).normal(size=(1, 1, 6, 6)).astype(np.float32)
    longer = np.full((1, 1, 8, 8), 50, np.float32)
    longer[..., :6, :6], longer[..., 6:] = x, -np.inf
    found = [accuracy.onnx_reference(softmax_model(("b", "h", "q", "k")), softmax="softmax-e2",
                                     method="largest", calibrate=[{"x": array}]).settings.heads
             for array in (x, longer)]
    assert found[0] == found[1]


# Refusals ----------------------------------------------------------------------------------------

X = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize("arguments, message", [
    ({}, "neither is given"),
    ({"softmax": "softmax-e3"}, "did you mean 'softmax-e2'"),
    ({"softmax": "layernorm-ai"}, "must be a softmax unit"),
    ({"layernorm": "layernorm-ai"}, "calibrate must be given"),
    ({"softmax": "softmax-e2", "calibrate": {"x": X}}, "put it into a list"),
    ({"softmax": "softmax-e2", "calibrate": []}, "at least one batch, not 0"),
    ({"softmax": "softmax-e2", "calibrate": [X]}, "batch 0 is ndarray"),
    ({"softmax": "softmax-e2", "calibrate": [{"x": [1.0]}]}, "x of batch 0 is list"),
    ({"softmax": "softmax-e2", "calibrate": [{"x": X[:0]}]}, "no empty batch"),
    ({"softmax": "softmax-e2", "calibrate": [{"x": X * np.nan}]}, "x of batch 0 has NaN"),
    ({"softmax": "softmax-e2", "calibrate": [{"x": X}], "method": "best"}, "method must"),
    ({"layernorm": "layernorm-ai", "calibrate": [{"x": X}]}, "must have a node LayerNormalization"),
    ({"softmax": "softmax-e2", "settings": "x.json"}, "must come alone"),
    ({"settings": "missing.json"}, "can not be read"),
    ({"settings": Settings(rtl.unit("softmax-e2")(), {"z": (0,)})}, "Settings name z"),
    ({"settings": Settings(rtl.unit("softmax-e2")(), {"y": (0, 1, 2)})}, "must be for 1 heads"),
])
def test_refusals(arguments, message):
    with pytest.raises(accuracy.AccuracyError, match=message) as caught:
        accuracy.onnx_reference(softmax_model((2, 4)), **arguments).run(None, {"x": X})
    assert "\n" not in str(caught.value)


def test_refused_models(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    for source, message in ((3, "must be an onnx.ModelProto, bytes or a path, not int"),
                            (b"no model", "must be an ONNX model"),
                            (tmp_path / "text.onnx", "must be an ONNX model"),
                            (tmp_path / "missing.onnx", "can not be read: No such file")):
        with pytest.raises(accuracy.AccuracyError, match=message):
            accuracy.onnx_reference(source, softmax="softmax-e2")
    plain = graph([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, {"y": (2,)})
    with pytest.raises(accuracy.AccuracyError, match="must have a node Softmax or Attention"):
        accuracy.onnx_reference(plain, softmax="softmax-e2")


def test_refused_inputs():
    hw = accuracy.onnx_reference(softmax_model((2, "n")), softmax="softmax-e2:plus,max_length=8")
    with pytest.raises(accuracy.AccuracyError, match="at most 8 elements, the unit's max_length"):
        hw.run(None, {"x": np.zeros((2, 9), np.float32)})
    with pytest.raises(accuracy.AccuracyError, match="Logits at y must be numbers, not NaN"):
        hw.run(None, {"x": np.full((2, 3), np.nan, np.float32)})
    with pytest.raises(accuracy.AccuracyError, match="axis of y must be in -2..1, not 5"):
        accuracy.onnx_reference(softmax_model((2, 4), axis=5), softmax="softmax-e2").run(
            None, {"x": X})
    early = graph([helper.make_node("RMSNormalization", ["x", "w"], ["y"])],
                  {"x": (2, 4), "w": (4,)}, {"y": (2, 4)}, opset=17)
    with pytest.raises(accuracy.AccuracyError, match="must be of a later opset than 17"):
        accuracy.onnx_reference(early, layernorm="layernorm-ai",
                                calibrate=[{"x": X, "w": X[0]}])
