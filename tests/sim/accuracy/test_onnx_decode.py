"""ONNX's operator Attention with a cache, by an engine with resident sets: ONNX's own node cases.

The past is appended to a set first, the new keys then, and the queries are at their positions. An
engine adds no bias and has no soft cap: such cases are judged without, by ONNX's own reference.
"""

import dataclasses
import importlib

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")

from onnx.backend.test.case import node as node_cases  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

import rtl  # noqa: E402
from sim.model.attention.resident import Append, Head, Query, run  # noqa: E402

importlib.import_module(f"{node_cases.__name__}.attention")
# Without the expansions, which have the same inputs.
CASES = {case.name: case for case in node_cases._NodeTestCases
         if [node.op_type for node in case.model.graph.node] == ["Attention"]
         and "past_key" in case.model.graph.node[0].input}
ENGINE = {"store": "resident", "scales": "run-time", "sets": 8, "lanes": 2, "max_keys": 64,
          "logit_bits": 12, "logit_scale": 2.0 ** -8, "out_bits": 12,
          # What it adds is small, so that a wrong mask shows.
          "softmax": "softmax-split:plus"}
UNBIASED = ("attn_mask", "nonpad_kv_seqlen")


def case_of(name):
    """Inputs, attributes and output of a case; what no engine computes is left out of it."""
    case = CASES[name]
    node, = case.model.graph.node
    (arrays, outputs), = case.data_sets
    feed = dict(zip([each.name for each in case.model.graph.input], arrays, strict=True))
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if not set(UNBIASED) & set(node.input) and "softcap" not in attributes:
        return feed, attributes, outputs[0]
    plain = onnx.ModelProto.FromString(case.model.SerializeToString())
    node, = plain.graph.node
    for place, each in enumerate(node.input):
        if each in UNBIASED:
            node.input[place] = ""
            feed.pop(each)
    kept = [each for each in node.attribute if each.name != "softcap"]
    del node.attribute[:]
    node.attribute.extend(kept)
    inputs = [each for each in plain.graph.input if each.name not in UNBIASED]
    del plain.graph.input[:]
    plain.graph.input.extend(inputs)
    return feed, attributes, ReferenceEvaluator(plain).run(None, feed)[0]


def heads_of(x, number):
    """Arrays (batch, heads, tokens, elements) of either form, float64."""
    x = x.astype(np.float64)
    return x if x.ndim == 4 else x.reshape(*x.shape[:2], number, -1).swapaxes(1, 2)


def decoded(feed, attributes):
    """Output (batch, heads, queries, elements) of the engine."""
    q, k, v = (heads_of(feed[name], attributes.get(heads)) for name, heads in
               (("Q", "q_num_heads"), ("K", "kv_num_heads"), ("V", "kv_num_heads")))
    past = [heads_of(feed[name], None) for name in ("past_key", "past_value")]
    scales = [max(np.abs(x).max() for x in parts) / 127
              for parts in ((q,), (k, past[0]), (v, past[1]))]
    q, *kv = (np.clip(np.floor(x / scale + 0.5), -128, 127).astype(int) for x, scale in
              zip((q, k, v, *past), (*scales, *scales[1:]), strict=True))
    groups, left = q.shape[1] // k.shape[1], attributes.get("left_window_size", -1)
    config = rtl.unit("attention")(
        **ENGINE, dim=q.shape[-1], value_dim=v.shape[-1], io_lanes=1, heads=q.shape[1],
        causal=bool(attributes.get("is_causal")), window=left + 1, chunk=24 if left >= 0 else 1,
        query_scale=scales[0], key_scale=scales[1], value_scale=scales[2],
        output_scale=scales[2] / 8)
    config = dataclasses.replace(config, query_scale=config.query_scale * (
        attributes.get("scale", q.shape[-1] ** -0.5) * q.shape[-1] ** 0.5))
    numbers = config.set_parameters
    y = np.empty((*q.shape[:3], v.shape[-1]))
    for text in range(len(q)):
        commands = [command for group in range(k.shape[1]) for command in (
            Append(group, kv[2][text, group], kv[3][text, group]),
            Append(group, kv[0][text, group], kv[1][text, group]))]
        commands += [Query(head // groups, q[text, head], past[0].shape[2], head)
                     for head in range(q.shape[1])]
        answers = run(config, config.regions, commands,
                      [Head(numbers.logit, numbers.output)] * config.heads)
        assert not any(answer.marked.any() for answer in answers)
        y[text] = np.array([answer.y for answer in answers]) * config.output_scale
    return y


def test_the_cases_are_there():
    assert len(CASES) >= 21
    plain = [name for name, case in CASES.items()
             if not set(UNBIASED) & set(case.model.graph.node[0].input)]
    assert {"test_attention_4d_causal_with_past_and_present",
            "test_attention_local_window_with_past"} <= set(plain)


@pytest.mark.parametrize("name", CASES)
def test_node_case(name):
    feed, attributes, wanted = case_of(name)
    y = decoded(feed, attributes)
    wanted = heads_of(wanted, attributes.get("q_num_heads"))
    # A step of the values, which have 8 bits; the mean is far less.
    size = max(np.abs(feed[name].astype(float)).max() for name in ("V", "past_value"))
    errors = np.abs(y - wanted)
    assert errors.max() < size / 127 and errors.mean() < 0.002 * size
