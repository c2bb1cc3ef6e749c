"""Attention engines inside PyTorch models: bit-exact with the NumPy model, set by set.

The reference quantises what the attention of each module was given, and runs the NumPy model of one
head and one text at a time, with the keys that the tokens' mask leaves out.
"""

import functools
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import rtl  # noqa: E402
from sim import accuracy, model  # noqa: E402
from sim.accuracy.settings import Settings  # noqa: E402
from sim.testing.tiny_models import (  # noqa: E402
    bert,
    first,
    gemma,
    gpt2,
    image,
    llama,
    made,
    text,
    vit,
)

ENGINES = {
    "dense": "attention:dense,max_keys=32,lanes=4",
    "leading-one": "attention:predict,max_keys=32,predictor=leading-one",
    "4-bit": "attention:predict,max_keys=32,predictor=4-bit,rule=threshold",
    "sign": "attention:predict,max_keys=32,predictor=sign,rule=top-k,top_k=3",
    "prefix": "attention:predict,max_keys=32,predictor=prefix,prefix_dims=3,rule=top-k,top_k=4",
    "conservative": "attention:conservative,max_keys=32",
    "aggressive": "attention:aggressive,max_keys=32,empty=first,min_skip=false",
    "reuse": "attention:reuse,max_keys=32",
}


class SetBySet:
    """Observer that computes each attention again, a head of a text at a time."""

    takes_over = True

    def __init__(self, settings, mask=None):
        # As what is saved, so that nothing but the settings counts.
        self.settings, self.mask = Settings.from_dict(json.loads(settings.to_json())), mask
        self.errors, self.dead = [], []

    def engine(self, place, inputs, exact, output):
        configs = self.settings.attention[place.name]
        for batch in range(len(output)):
            for head in range(output.shape[1]):
                config = configs[head if len(configs) > 1 else 0]
                q, k, v = (np.clip(np.floor(x[batch, head].double().numpy() / scale + 0.5),
                                   *config.element_range).astype(int)
                           for x, scale in ((inputs.query, config.query_scale),
                                            (inputs.key, config.key_scale),
                                            (inputs.value, config.value_scale)))
                mask = None if self.mask is None else self.mask[batch, :len(k)] == 0
                # Queries of a cache are the last of the whole set's.
                before = np.zeros((len(k) - len(q), config.dim), int) if config.causal \
                    else np.zeros((0, config.dim), int)
                y = model.run(config, np.concatenate([before, q]), k, v,
                              *(() if mask is None else (mask.numpy(),)))[len(before):]
                wanted = torch.from_numpy(y * config.output_scale).to(output.dtype)
                assert torch.equal(output[batch, head], wanted), (place.name, batch, head)
        # A query without a key has no output, and none in float.
        self.errors.append(float((output - exact).norm() / exact.norm()))


MODELS = {"bert": (bert, text()), "bert-padded-right": (bert, text("right")),
          "bert-padded-left": (bert, text("left")), "gpt2": (gpt2, text()),
          "gpt2-padded-left": (gpt2, text("left")), "llama": (llama, text("right")),
          "llama-padded-left": (llama, text("left")), "vit": (vit, image())}


@pytest.mark.parametrize("per_head", (False, True))
@pytest.mark.parametrize("name", MODELS)
def test_models_are_bit_exact(name, per_head):
    build, batch = MODELS[name]
    built = made(build)
    causal = build in (gpt2, llama)
    with torch.no_grad():
        exact = first(built(**batch))
        hw = accuracy.approximate(built, attention=ENGINES["dense"], calibrate=[batch],
                                  per_head=per_head)
        engines = hw.settings.attention
        assert [len(configs) for configs in engines.values()] == [4 if per_head else 1] * 2
        assert all(config.causal == causal and config.dim == 8
                   for configs in engines.values() for config in configs)
        look = SetBySet(hw.settings, batch.get("attention_mask"))
        with hw.observed(look):
            observed = first(built(**batch))
        assert len(look.errors) == 2 and max(look.errors) < 0.15
        assert torch.equal(first(built(**batch)), observed)
        with hw.disabled():
            live = batch["attention_mask"].bool() if "attention_mask" in batch else ...
            torch.testing.assert_close(first(built(**batch))[live], exact[live], rtol=1e-3,
                                       atol=1e-3 * exact.abs().max().item())
        hw.restore()
        assert torch.equal(first(built(**batch)), exact)


@pytest.mark.parametrize("per_head", (False, True))
@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_is_bit_exact(name, per_head):
    greedy = name in ("conservative", "aggressive")
    build, batch = (bert, text("right")) if greedy else (llama, text("left"))
    built = made(build)
    hw = accuracy.approximate(built, attention=ENGINES[name], calibrate=[batch], per_head=per_head,
                              method="percentile")
    with hw.observed(SetBySet(hw.settings, batch["attention_mask"])):
        built(**batch)
    config = next(iter(hw.settings.attention.values()))[0]
    assert config.select == {"dense": "none", "reuse": "none", "conservative": "greedy",
                             "aggressive": "greedy"}.get(name, "predict")


@pytest.mark.slow
@pytest.mark.parametrize("padding", ("left", "right"))
def test_pace(padding):
    """Texts of 12, 9 and 5 tokens, 26 queries a head; padding is no key, and no query."""
    for build, engine, seen, met, cycles in (
            # A query sees all keys of its text, in words of 4.
            (bert, "dense", 250 / 26, 250 / 26, (12 * 3 + 9 * 3 + 5 * 2) / 26),
            (bert, "sign", 250 / 26, 3, (12 * 3 + 9 * 3 + 5 * 3) / 26),
            # Those up to its own.
            (llama, "dense", 138 / 26, 138 / 26, (4 + 8 + 12 + 4 + 8 + 3 + 4 + 2) / 26)):
        built, batch = made(build), text(padding)
        hw = accuracy.approximate(built, attention=ENGINES[engine], calibrate=[batch])
        for errors in hw.compare([batch]).places:
            assert (errors.seen, errors.met) == pytest.approx((seen, met))
            assert errors.cycles == pytest.approx(cycles)
    built = made(bert)
    hw = accuracy.approximate(built, attention=ENGINES["aggressive"], calibrate=[batch])
    config = hw.settings.attention["encoder.layer.0.attention.self"][0]
    least = min(config.query_cycles(keys, 1) for keys in (5, 9, 12))
    for errors in hw.compare([batch]).places:
        assert 1 <= errors.met <= errors.seen and errors.cycles >= least


@pytest.mark.parametrize("build", (gpt2, llama))
@pytest.mark.parametrize("padding", (None, "left"))
def test_generate_equals_a_run_without_cache(build, padding):
    built, batch = made(build), text(padding, length=6)
    accuracy.approximate(built, attention=ENGINES["leading-one"], calibrate=[batch], per_head=True)
    options = {"max_new_tokens": 5, "do_sample": False}
    cached = built.generate(**batch, **options, use_cache=True)
    assert cached.shape == (3, 11)
    assert torch.equal(cached, built.generate(**batch, **options, use_cache=False))


class Functional(nn.Module):
    def __init__(self, is_causal=False):
        super().__init__()
        self.is_causal = is_causal

    def forward(self, q, k, v, mask=None):
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=self.is_causal, enable_gqa=True, scale=0.7)


@pytest.mark.parametrize("is_causal", (False, True))
def test_functional_attention_is_bit_exact(is_causal):
    """Another scale, grouped heads; PyTorch's causal attention begins with the first key."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, n, 8, generator=generator, dtype=torch.float64)
               for heads, n in ((4, 5), (2, 9), (2, 9)))
    built = Functional(is_causal)
    hw = accuracy.approximate(built, attention=ENGINES["dense"], per_head=True,
                              calibrate=[(q, k, v)])
    y = built(q, k, v)
    for batch, head in np.ndindex(2, 4):
        config = hw.settings.attention[""][head]
        assert config.causal == is_causal
        codes = [np.clip(np.floor(x.numpy() / scale + 0.5), -128, 127).astype(int)
                 for x, scale in ((q[batch, head] * (0.7 * 8 ** 0.5), config.query_scale),
                                  (k[batch, head // 2], config.key_scale),
                                  (v[batch, head // 2], config.value_scale))]
        wanted = model.run(config, *codes) * config.output_scale
        assert np.array_equal(y[batch, head].numpy(), wanted)


def test_multi_head_attention():
    torch.manual_seed(0)
    built = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True).eval()
    x = torch.randn(3, 6, 16)
    padded = torch.arange(6) > torch.tensor([[5], [4], [2]])
    hw = accuracy.approximate(built, attention=ENGINES["dense"], calibrate=[
        {"src": x, "src_key_padding_mask": padded}])
    with torch.no_grad(), hw.observed(SetBySet(hw.settings, ~padded)):
        built(x, src_key_padding_mask=padded)
    heads = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    with pytest.raises(accuracy.AccuracyError, match="without its weights, for an engine"):
        accuracy.approximate(heads, attention=ENGINES["dense"], calibrate=[(x, x, x)])


# Calibration -------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ("largest", "percentile", "least-squares"))
def test_methods(method):
    built, batch = made(bert), text("right")
    hw = accuracy.approximate(built, attention=ENGINES["dense"], calibrate=[batch], method=method)
    assert all(errors.error < 0.2 and errors.kl is None for errors in hw.compare([batch]).places)
    for configs in hw.settings.attention.values():
        assert math.frexp(configs[0].logit_scale)[0] == 0.5
    if method != "largest":
        return
    tops = []

    class Look:
        takes_over = False

        def engine(self, place, inputs, exact, output):
            live = ~inputs.dead.all(-2)
            tops.append(place.codes(inputs.key, "key_scale")[live.expand(3, 4, 12)].abs().max())

    with hw.observed(Look()):
        built(**batch)
    assert tops == [127, 127]


def test_heads_of_their_own_are_more_exact():
    """One head's keys and values a hundred times as large: the others keep their bits."""
    built, batch = made(bert), text()
    with torch.no_grad():
        for layer in built.encoder.layer:
            layer.attention.self.value.weight[:8].mul_(100.0)
    figures = []
    for per_head in (False, True):
        hw = accuracy.approximate(built, attention=ENGINES["dense"], calibrate=[batch],
                                  per_head=per_head)
        seen = []

        class Look:
            takes_over = True

            def engine(self, place, inputs, exact, output, seen=seen):
                seen.append(float((output - exact)[:, 1:].norm() / exact[:, 1:].norm()))

        with hw.observed(Look()):
            built(**batch)
        figures.append(seen[0])
        hw.restore()
    assert figures[1] < figures[0] / 2


def test_scales_that_are_given_stay():
    built, batch = made(bert), text()
    hw = accuracy.approximate(built, calibrate=[batch], per_head=True,
                              attention=ENGINES["dense"] + ",key_scale=0.25,logit_scale=0.125")
    for configs in hw.settings.attention.values():
        assert {(config.key_scale, config.logit_scale) for config in configs} == {(0.25, 0.125)}
        assert len({config.query_scale for config in configs}) > 1


# Settings ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("suffix", (".json", ".toml"))
def test_settings_are_saved_and_loaded(tmp_path, suffix):
    built, batch = made(llama), text("left")
    hw = accuracy.approximate(built, attention=ENGINES["prefix"], layernorm="layernorm-exact",
                              calibrate=[batch], per_head=True)
    with torch.no_grad():
        wanted = first(built(**batch))
    hw.save(tmp_path / f"units{suffix}")
    other = made(llama)
    loaded = accuracy.approximate(other, settings=tmp_path / f"units{suffix}")
    assert loaded.settings == hw.settings
    with torch.no_grad():
        assert torch.equal(first(other(**batch)), wanted)


@pytest.mark.slow
def test_emitted_is_what_was_evaluated(tmp_path):
    built, batch = made(bert), text()
    hw = accuracy.approximate(built, attention="attention:dense,max_keys=16", calibrate=[batch])
    *folders, scales = hw.emit(tmp_path)
    configs = [config for each in hw.settings.attention.values() for config in each]
    assert [folder.name for folder in folders] == [config.name for config in configs]
    assert [rtl.UnitConfig.load(folder / "config.json") for folder in folders] == configs
    assert Settings.load(scales) == hw.settings


def test_gradients_pass_straight_through():
    built, batch = made(bert), text("right")
    live, found = batch["attention_mask"].bool(), []
    for units in (True, False):
        built.zero_grad()
        hw = accuracy.approximate(built, attention=ENGINES["dense"] + ",out_bits=12",
                                  calibrate=[batch], per_head=True)
        if not units:
            hw.restore()
        first(built(**batch))[live].square().mean().backward()
        found.append(torch.cat([weight.grad.flatten() for weight in built.parameters()
                                if weight.grad is not None]))
        hw.restore()
    assert torch.isfinite(found[0]).all() and len(found[0]) == len(found[1])
    assert functional.cosine_similarity(*found, dim=0) > 0.95


# Refusals ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, message", [
    ({"attention": ENGINES["dense"]}, "calibrate must be given with attention"),
    ({"attention": "attention:dens"}, "did you mean 'dense'"),
    ({"attention": "softmax-e2"}, "must be an attention unit, not softmax-e2"),
    ({"attention": "attention", "softmax": "softmax-e2"}, "must come without softmax"),
    ({"attention": "attention:dense,dim=16", "calibrate": [text()]}, "dim must be 8, that of"),
    ({"attention": "attention:dense,max_keys=4", "calibrate": [text()]},
     "max_keys must be at least 12"),
    ({"attention": ENGINES["prefix"].replace("=3,", "=8,"), "calibrate": [text()]},
     "prefix_dims must be less than dim"),
    ({"attention": ENGINES["dense"], "calibrate": [text()], "method": "best"}, "method must"),
])
def test_refusals(arguments, message):
    built = made(bert)
    with pytest.raises(accuracy.AccuracyError, match=message) as caught:
        accuracy.approximate(built, **arguments)
    assert "\n" not in str(caught.value)
    assert built.config._attn_implementation == "sdpa"


def test_what_no_engine_computes():
    """In one line each, with the module's name."""
    batch = text()
    for build, options, message in (
            (functools.partial(gemma, softcap=None), {},
             "store must be resident for the model.s sliding windows"),
            (gpt2, {"attention": ENGINES["conservative"]}, "causal must be false for select"),
            (lambda: transformers.T5EncoderModel(transformers.T5Config(
                d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=50)), {},
             "engine")):
        with pytest.raises(accuracy.AccuracyError, match=message):
            accuracy.approximate(made(build), **{"attention": ENGINES["dense"],
                                                 "calibrate": [batch], **options})
    built, generator = Functional(), torch.Generator().manual_seed(0)
    q, bias = (torch.randn(shape, generator=generator) for shape in ((1, 2, 6, 8), (6, 6)))
    for mask, message in ((bias, "must have no bias"),
                          (torch.ones(6, 6).triu(-2).bool(), "must have masks of keys")):
        with pytest.raises(accuracy.AccuracyError, match=message):
            accuracy.approximate(built, attention=ENGINES["dense"], calibrate=[(q, q, q, mask)])
    hw = accuracy.approximate(built, attention=f"{ENGINES['dense']},max_queries=6",
                              calibrate=[(q, q, q)])
    for inputs, message in (((q, q, q, torch.ones(6, 6).tril().bool()), "must be not causal, as"),
                            ((q[..., :4], q[..., :4], q[..., :4]), "must be of dim 8"),
                            ((torch.cat((q, q), 2), q, q), "must be of at most 6 queries, the"),
                            ((q * math.nan, q, q), "must be numbers, not NaN"),
                            ((q, q, q[..., :4]), "must be of dim 8, value_dim 8 ")):
        with pytest.raises(accuracy.AccuracyError, match=message):
            built(*inputs)
    hw.restore()
