"""Units inside PyTorch models: bit-exact with the NumPy model, in every class of models.

The reference is the model's own eager attention, whose softmax is replaced by the quantiser written
down again in NumPy and :func:`sim.model.run`: masks, heads and caches are Transformers' own.
"""

import contextlib
import copy
import functools
import json
import math
import tomllib

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import rtl  # noqa: E402
from rtl import UnitConfig  # noqa: E402
from sim import accuracy, model  # noqa: E402
from sim.accuracy import interface, modules, place, quantise, settings  # noqa: E402
from sim.data import captured, sample  # noqa: E402
from sim.testing.tiny_models import (  # noqa: E402
    SIZES,
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

SOFTMAXES = [f"{name}:{preset}" for name in rtl.units() if name.startswith("softmax-")
             for preset in rtl.unit(name).PRESETS]


# Models ------------------------------------------------------------------------------------------

MODELS = {
    "bert": (bert, text()),
    "bert-padded-right": (bert, text("right")),
    "bert-padded-left": (bert, text("left")),
    "gpt2": (gpt2, text()),
    "gpt2-padded-left": (gpt2, text("left")),
    "llama": (llama, text()),
    "llama-padded-left": (llama, text("left")),
    "gemma": (gemma, text()),
    "gemma-padded-right": (gemma, text("right")),
    "vit": (vit, image()),
}


# The reference -----------------------------------------------------------------------------------

def codes_of(logits, config, offsets=0):
    """The quantiser, in float64: round half up, add the offsets of the heads, clip."""
    low, high = -(1 << (config.bits - 1)), (1 << (config.bits - 1)) - 1
    with np.errstate(over="ignore"):
        steps = np.floor(np.asarray(logits, np.float64) / config.input_scale * 2)
    steps = np.clip(steps, -1e9, 1e9)
    offsets = np.reshape(offsets, (-1, 1, 1)) if np.ndim(offsets) else offsets
    return np.clip(np.floor((steps + 1) / 2) + offsets, low, high).astype(np.int64)


@contextlib.contextmanager
def eager(built, hw):
    """The model's own eager attention with the NumPy model as its softmax; LayerNorms in float."""
    config, offsets = hw.settings.softmax, iter(())
    before = functional.softmax

    def softmax(logits, dim=-1, dtype=None, **_):
        nonlocal offsets
        found = next(offsets, None)
        if found is None:
            offsets = iter(hw.settings.heads.values())
            found = next(offsets, (0,))
        dead = (logits < -9e3).numpy()
        shift = found if len(found) > 1 else found[0]
        y = model.run(config, codes_of(logits.numpy(), config, shift), dead) * config.output_scale
        return torch.from_numpy(y).to(logits.dtype)

    hw.restore()
    built.set_attn_implementation("eager")
    functional.softmax = softmax
    try:
        yield
    finally:
        functional.softmax = before


# Softmax -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", MODELS)
def test_models_are_bit_exact(name):
    """With offsets for each head; outputs of the whole model at live tokens, bit for bit."""
    build, batch = MODELS[name]
    built = made(build)
    live = batch["attention_mask"].bool() if "attention_mask" in batch else ...
    with torch.no_grad():
        exact = first(built(**batch))
        hw = accuracy.approximate(built, softmax="softmax-e2:plus", calibrate=[batch],
                                  method="largest")
        assert len(hw.settings.heads) == 2
        assert all(len(offsets) == 4 for offsets in hw.settings.heads.values())
        with hw.disabled():
            torch.testing.assert_close(first(built(**batch))[live], exact[live], rtol=1e-3,
                                       atol=1e-3 * exact.abs().max().item())
        y = first(built(**batch))[live]
        with eager(built, hw):
            wanted = first(built(**batch))[live]
    assert torch.equal(y, wanted)
    assert not torch.equal(y, exact[live])


@pytest.mark.parametrize("unit", SOFTMAXES)
def test_every_softmax_is_bit_exact(unit):
    built, batch = made(gpt2), text("left")
    hw = accuracy.approximate(built, softmax=unit, calibrate=[batch], method="largest")
    with torch.no_grad():
        y = first(built(**batch))
        with eager(built, hw):
            wanted = first(built(**batch))
    live = batch["attention_mask"].bool()
    assert torch.equal(y[live], wanted[live])


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16, torch.float16))
@pytest.mark.parametrize("parameters", ({"bits": 8}, {"bits": 16, "input_scale": 2.0 ** -9},
                                        {"bits": 4, "input_scale": 0.7}))
def test_captured_logits(dtype, parameters):
    """Real logits, halves of a step between them, and masks of both kinds."""
    config = rtl.unit("softmax-e2").preset("plus", **parameters)
    rows = [row for row in captured.load(sample("logits")) if len(row.logits) == 64][:24]
    logits = np.array([row.logits * row.scale for row in rows]).reshape(2, 3, 4, 64)
    logits = torch.from_numpy(logits).to(dtype)
    alive = torch.from_numpy(np.array([~row.mask for row in rows]).reshape(2, 3, 4, 64))
    site = place.SoftmaxPlace("here", config, place.State(),
                              torch.tensor([-5, 0, 9], dtype=torch.int32))
    wanted = model.run(config, codes_of(logits.double().numpy(), config, (-5, 0, 9)),
                       ~alive.numpy()) * config.output_scale
    added = torch.zeros(alive.shape, dtype=dtype).masked_fill(~alive, torch.finfo(dtype).min)
    for mask in (alive, added):
        weights = site.weights(logits, mask)
        assert weights.dtype == dtype
        assert np.array_equal(weights.double().numpy(),
                              torch.from_numpy(wanted).to(dtype).double().numpy())


def test_quantiser_rounds_half_up():
    """Also where the quotient plus a half is no float."""
    below = np.nextafter(np.float32(0.5), np.float32(0))
    logits = torch.tensor([[[below, 0.5, -0.5, 1.5, -1.5, 1e30, -torch.inf]]])
    codes = quantise.quantise_logits(logits, 1.0, torch.tensor(0), 8, "here")
    assert codes.flatten().tolist() == [0, 1, 0, 2, -1, 127, -128]


@pytest.mark.parametrize("build", (gpt2, llama, gemma))
@pytest.mark.parametrize("padding", (None, "left"))
def test_generate_equals_a_run_without_cache(build, padding):
    """Queries of length 1 at an offset, against the whole text at once."""
    built, batch = made(build), text(padding, length=6)
    accuracy.approximate(built, softmax="softmax-e2:plus", calibrate=[batch], method="largest")
    options = {"max_new_tokens": 5, "do_sample": False}
    cached = built.generate(**batch, **options, use_cache=True)
    assert cached.shape == (3, 11)
    assert torch.equal(cached, built.generate(**batch, **options, use_cache=False))


def test_masks_of_every_shape():
    """(B,1,1,K) and (B,1,Q,K), boolean and added; an added bias counts before the quantiser."""
    config = rtl.unit("softmax-split").preset("plus")
    site = place.SoftmaxPlace("here", config, place.State())
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 7, generator=generator) * 3
    for shape in ((2, 1, 1, 7), (2, 1, 5, 7), (1, 1, 5, 7), (5, 7)):
        alive = torch.rand(shape, generator=generator) < 0.7
        bias = torch.randn(shape, generator=generator).masked_fill(~alive, -torch.inf)
        for mask, added in ((alive, 0.0), (bias, torch.where(alive, bias, 0.0))):
            dead = np.broadcast_to(~alive.numpy(), logits.shape)
            wanted = model.run(config, codes_of(logits + added, config), dead)
            y = site.weights(logits, mask).numpy() / config.output_scale
            assert np.array_equal(y, wanted), shape


# PyTorch's own attention -------------------------------------------------------------------------

class Plain(nn.Module):
    """Attention of PyTorch in all forms: functional, multi-head, nn.Softmax."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(8, 8)
        self.heads = nn.MultiheadAttention(8, 2, batch_first=True)
        self.softmax = nn.Softmax(dim=-2)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x):
        q = self.project(x).unflatten(-1, (2, 4)).transpose(1, 2)
        x = x + functional.scaled_dot_product_attention(q, q, q, is_causal=True) \
            .transpose(1, 2).flatten(2)
        x = x + self.heads(x, x, x)[0] + self.heads(x, x, x, need_weights=False)[0]
        return self.layer(x + self.softmax(x))


def test_attention_of_pytorch():
    torch.manual_seed(0)
    built = Plain().eval()
    x = torch.randn(3, 6, 8)
    with torch.no_grad():
        exact = built(x)
        hw = accuracy.approximate(built, softmax="softmax-e2:plus", layernorm="layernorm-exact",
                                  calibrate=[x])
        assert set(hw.settings.heads) == {"", "heads", "softmax", "layer.self_attn"}
        assert len(hw.settings.heads["heads"]) == 2
        assert set(hw.settings.layernorm) == {"layer.norm1", "layer.norm2"}
        y = built(x)
        assert not torch.equal(y, exact)
        torch.testing.assert_close(y, exact, atol=0.2, rtol=0.1)
        hw.restore()
        assert torch.equal(built(x), exact)


def test_functional_attention_is_bit_exact():
    class Functional(nn.Module):
        def forward(self, q, k, mask):
            return functional.scaled_dot_product_attention(q, k, k, attn_mask=mask,
                                                           enable_gqa=True)

    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, 5, 8, generator=generator) * 3
    k = torch.randn(2, 2, 7, 8, generator=generator)
    alive = torch.rand(2, 1, 5, 7, generator=generator) < 0.8
    config = rtl.unit("softmax-rexp").preset("plus")
    built = Functional()
    accuracy.approximate(built, softmax=config)
    repeated = k.repeat_interleave(2, dim=1)
    logits = q @ repeated.transpose(2, 3) * 8 ** -0.5
    weights = model.run(config, codes_of(logits, config),
                        np.broadcast_to(~alive.numpy(), logits.shape)) * config.output_scale
    wanted = torch.from_numpy(weights).float() @ repeated
    assert torch.equal(built(q, k, alive), wanted)
    # Heads alone; and two axes of batches.
    assert torch.equal(built(q[0], k[0], alive[0]), wanted[0])
    assert torch.equal(built(q[None], k[None], alive[None]), wanted[None])


class OwnAttention(nn.Module):
    """Attention that a model computes by itself, with each way to call a softmax."""

    def forward(self, q, k, mask):
        for softmax in (lambda x: functional.softmax(x, dim=-1, dtype=torch.float32),
                        lambda x: torch.softmax(x, -1), lambda x: x.softmax(dim=3)):
            q = softmax(q @ k.transpose(2, 3) + mask) @ k
        return q


class Router(OwnAttention):
    """The same functions in what is no attention."""


def test_plain_softmax_of_an_attention():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, 3, n, 8, generator=generator) * 2 for n in (5, 7))
    mask = torch.zeros(2, 1, 1, 7).masked_fill(torch.arange(7) > 4, torch.finfo(torch.float32).min)
    config = rtl.unit("softmax-split").preset("plus")
    wanted, dead = q, np.broadcast_to(mask.numpy() < 0, (2, 3, 5, 7))
    for _ in range(3):
        codes = codes_of(wanted @ k.transpose(2, 3) + mask, config)
        y = model.run(config, codes, dead) * config.output_scale
        wanted = torch.from_numpy(y).float() @ k
    built = OwnAttention()
    hw = accuracy.approximate(built, softmax=config)
    assert torch.equal(built(q, k, mask), wanted)
    assert list(hw.softmaxes) == [""]
    router = Router()
    exact = router(q, k, mask)
    hw = accuracy.approximate(router, softmax=config)
    assert torch.equal(router(q, k, mask), exact) and not hw.softmaxes


def test_models_without_the_interface_of_attention():
    built = made(lambda: transformers.MPNetModel(transformers.MPNetConfig(**SIZES)))
    batch = text("right")
    with torch.no_grad():
        hw = accuracy.approximate(built, softmax="softmax-split:plus", calibrate=[batch],
                                  method="largest")
        assert [len(offsets) for offsets in hw.settings.heads.values()] == [4, 4]
        assert 0 < hw.compare([batch]).output < 0.1


# LayerNorm ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("unit", ("layernorm-ai", "layernorm-exact:bits=10"))
@pytest.mark.parametrize("build", (bert, gemma, llama))
def test_norms_are_bit_exact(build, unit):
    """Each place against the NumPy model on codes and steps from the saved settings."""
    built, batch = made(build), text()
    hw = accuracy.approximate(built, layernorm=unit, calibrate=[batch])
    saved = settings.Settings.from_dict(json.loads(hw.settings.to_json()))
    assert len(saved.layernorm) == (5 if build is not gemma else 9)
    seen = []

    class Look:
        takes_over = True

        def norm(self, site, inputs, exact, output):
            norm = saved.layernorm[site.name]
            steps = np.array(norm.input_steps)
            q = np.floor((inputs.double().numpy() - norm.input_offset) / steps + 0.5)
            q += norm.config.zero_point
            y = model.run(norm.config, np.clip(q, *norm.config.raw_range).astype(int))
            wanted = torch.from_numpy(y * np.array(norm.output_steps)).to(output.dtype)
            assert torch.equal(output, wanted)
            seen.append(((output - exact).norm() / exact.norm()).item())

    with hw.observed(Look()):
        built(**batch)
    assert len(seen) == len(saved.layernorm)
    assert max(seen) < 0.05


def test_gamma_and_beta_of_every_kind():
    """Gemma keeps gamma less 1; the module is asked, not its name."""
    torch.manual_seed(0)
    state = place.State()
    for module, rms in ((nn.LayerNorm(32), False), (nn.RMSNorm(32), True),
                        (nn.LayerNorm(32, elementwise_affine=False), False),
                        (gemma().model.layers[0].input_layernorm, True),
                        (llama().model.norm, True)):
        for weight in module.parameters():
            nn.init.normal_(weight)
        assert modules.is_norm(module)
        found = modules.norm_place(module, "here", state)
        assert found.rms == rms
        x = torch.randn(4, 32)
        centred = x.double() if rms else x.double() - x.double().mean(-1, keepdim=True)
        normal = centred / (centred.square().mean(-1, keepdim=True) + found.epsilon).sqrt()
        torch.testing.assert_close((normal * found.gamma + found.beta).float(), module(x),
                                   atol=1e-4, rtol=1e-4)


def test_a_norm_over_two_axes_is_refused():
    built = nn.Sequential(nn.LayerNorm((3, 4)))
    with pytest.raises(accuracy.AccuracyError, match="must be a LayerNorm or RMSNorm over"):
        accuracy.approximate(built, layernorm="layernorm-ai", calibrate=[torch.randn(2, 3, 4)])


# Training ----------------------------------------------------------------------------------------

def test_gradients_pass_straight_through():
    built, batch = made(bert), text("right")
    accuracy.approximate(built, softmax="softmax-split:plus", layernorm="layernorm-exact:bits=12",
                         calibrate=[batch], method="largest")
    live = batch["attention_mask"].bool()
    first(built(**batch))[live].square().mean().backward()
    units = [weight.grad for weight in built.parameters() if weight.grad is not None]
    other = made(bert)
    first(other(**batch))[live].square().mean().backward()
    exact = [weight.grad for weight in other.parameters() if weight.grad is not None]
    assert len(units) == len(exact) > 30
    flat, wanted = (torch.cat([g.flatten() for g in grads]) for grads in (units, exact))
    assert torch.isfinite(flat).all()
    assert functional.cosine_similarity(flat, wanted, dim=0) > 0.97


# Settings ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def calibrated():
    built, batch = made(bert), text("right")
    hw = accuracy.approximate(built, softmax="softmax-e2:plus", layernorm="layernorm-exact",
                              calibrate=[batch])
    yield built, batch, hw
    hw.restore()


def test_restore_undoes_everything():
    for build, batch in ((bert, text("right")), (gemma, text()), (vit, image())):
        built = made(build)
        kept, implementation = copy.deepcopy(built.state_dict()), built.config._attn_implementation
        with torch.no_grad():
            exact = first(built(**batch))
            hw = accuracy.approximate(built, softmax="softmax-e2:plus", method="largest",
                                      layernorm="layernorm-exact", calibrate=[batch])
            assert built.state_dict().keys() == kept.keys()
            hw.restore()
            hw.restore()
            assert torch.equal(first(built(**batch)), exact)
        assert built.config._attn_implementation == implementation
        for module in built.modules():
            assert not module._forward_hooks and not module._forward_pre_hooks
            assert "forward" not in vars(module) and interface._FIND not in vars(module)


@pytest.mark.parametrize("suffix", (".json", ".toml"))
def test_settings_are_saved_and_loaded(calibrated, tmp_path, suffix):
    built, batch, hw = calibrated
    with torch.no_grad():
        wanted = first(built(**batch))
    hw.save(tmp_path / f"units{suffix}")
    other = made(bert)
    loaded = accuracy.approximate(other, settings=tmp_path / f"units{suffix}")
    assert loaded.settings == hw.settings
    with torch.no_grad():
        assert torch.equal(first(other(**batch)), wanted)


def test_emitted_is_what_was_evaluated(tmp_path):
    built, batch = made(bert), text("right")
    hw = accuracy.approximate(built, softmax="softmax-e2:plus,lanes=2,max_length=16",
                              layernorm="layernorm-exact:lanes=4", calibrate=[batch])
    # One LayerNorm is enough to generate.
    kept = dict(list(hw.settings.layernorm.items())[:1])
    hw._settings = settings.Settings(hw.settings.softmax, hw.settings.heads, kept)
    *folders, scales = hw.emit(tmp_path)
    saved = settings.Settings.load(scales)
    assert saved == hw.settings
    configs = [saved.softmax, *(norm.config for norm in saved.layernorm.values())]
    assert [folder.name for folder in folders] == [config.name for config in configs]
    for folder, config in zip(folders, configs, strict=True):
        assert UnitConfig.load(folder / "config.json") == config
        assert f"module {config.name}" in (folder / f"{config.name}.v").read_text()
    assert json.loads(scales.read_text())["softmax"]["module"] == folders[0].name
    assert tomllib.loads(saved.to_toml())["softmax"]["unit"] == "softmax-e2"


# Comparison --------------------------------------------------------------------------------------

def test_comparison(calibrated):
    built, batch, hw = calibrated
    result = hw.compare([batch, text()])
    assert len(result.places) == 7
    for errors in result.places:
        softmax = errors.name.endswith("self")
        assert errors.rows == ((26 + 36) * 4 if softmax else 26 + 36)
        assert 0 < errors.error < 0.2
        assert (errors.kl is not None and 0 <= errors.kl < 0.2) == softmax
        assert (errors.flips is not None) == softmax
    assert 0 < result.output < 0.3 and result.largest > 0
    assert str(result).count("\n") == 2 + 7
    assert json.loads(result.to_json())["output"] == result.output


def test_comparison_sees_a_worse_unit():
    built, batch = made(bert), text("right")
    errors = []
    for bits in (8, 4):
        hw = accuracy.approximate(built, softmax=f"softmax-split:plus,bits={bits}",
                                  calibrate=[batch])
        errors.append(np.mean([p.error for p in hw.compare([batch]).places]))
        hw.restore()
    assert errors[1] > 1.5 * errors[0]


def test_offsets_stop_saturation():
    """A head whose logits reach far beyond the clip is as exact as any other."""
    built, batch = made(bert), text()
    with torch.no_grad():
        # All logits of the layer are about 40.
        first_layer = built.encoder.layer[0].attention.self
        first_layer.query.weight.mul_(0.1)
        first_layer.query.bias.fill_(2.0)
        first_layer.key.bias.fill_(10.0)
    config = rtl.unit("softmax-e2").preset("plus")
    figures = {}
    for name, batches in (("none", None), ("some", [batch])):
        hw = accuracy.approximate(built, softmax=config, calibrate=batches)
        figures[name] = hw.compare([batch]).places[0]
        hw.restore()
    assert figures["some"].kl < figures["none"].kl / 3
    assert figures["some"].error < figures["none"].error / 2


@pytest.mark.parametrize("method", ("largest", "percentile", "least-squares"))
def test_methods(method):
    built, batch = made(bert), text("right")
    hw = accuracy.approximate(built, softmax="softmax-split:plus", layernorm="layernorm-exact",
                              calibrate=[batch], method=method)
    step = hw.settings.softmax.input_scale
    assert math.frexp(step)[0] == 0.5
    assert all(errors.error < 0.1 for errors in hw.compare([batch]).places)
    if method != "largest":
        return
    # The largest logit of each head is at the top of the range.
    tops = {}

    class Look:
        takes_over = False
        attention = norm = functools.partial(lambda *_: None)

        def softmax(self, site, logits, dead, weights):
            codes = site.codes(logits).masked_fill(dead, -128)
            live = ~dead.all(-2).expand(dead.shape[0], 4, dead.shape[-1])
            tops[site.name] = codes.transpose(0, 1)[:, live[:, 0]].amax((1, 2)).tolist()

    with hw.observed(Look()):
        built(**batch)
    assert set(tops) == set(hw.settings.heads)
    assert all(top == [127] * 4 for top in tops.values())


# Refusals ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, message", [
    ({"softmax": "softmax-e2", "calibrate": [torch.tensor([0, 1, 1])]}, "as labels have"),
    ({"softmax": "softmax-e2", "calibrate": [0, 1]}, "batch 0 is int"),
    ({"softmax": "softmax-e2", "calibrate": ["A cat."]}, "batch 0 is str"),
    ({"softmax": "softmax-e2", "calibrate": torch.zeros(2, 3)}, "put it into a list"),
    ({"softmax": "softmax-e2", "calibrate": []}, "at least one batch, not 0"),
    ({"softmax": "softmax-e2", "calibrate": [torch.zeros(0, 4)]}, "no empty batch"),
    ({"softmax": "softmax-e2", "calibrate": [torch.full((2, 4), math.nan)]}, "batch 0 has NaN"),
    ({"softmax": "softmax-e2", "calibrate": [torch.zeros(2, 4, device="meta")]}, "on the CPU"),
    ({"softmax": "softmax-e3"}, "did you mean 'softmax-e2'"),
    ({"softmax": "softmax-e2:pls"}, "did you mean 'plus'"),
    ({"softmax": "softmax-e2:plus,bits=99"}, "bits must be"),
    ({"softmax": "layernorm-ai"}, "must be a softmax unit"),
    ({"softmax": 3}, "must be a unit's name"),
    ({"layernorm": "layernorm-ai"}, "calibrate must be given"),
    ({"layernorm": "layernorm-ai:zero_point=3", "calibrate": [torch.zeros(2, 4)]}, "zero_point"),
    ({"layernorm": "softmax-e2", "calibrate": [torch.zeros(2, 4)]}, "must be a LayerNorm unit"),
    ({}, "none is given"),
    ({"softmax": "softmax-e2", "settings": "x.json"}, "must come alone"),
    ({"settings": "missing.json"}, "can not be read"),
    ({"settings": "x.txt"}, "must end in .toml or .json"),
    ({"softmax": "softmax-e2", "calibrate": [torch.zeros(2, 4)], "method": "best"}, "method must"),
])
def test_refusals(arguments, message):
    built = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1), nn.LayerNorm(4))
    with pytest.raises(accuracy.AccuracyError, match=message) as caught:
        accuracy.approximate(built, **arguments)
    assert "\n" not in str(caught.value)
    assert not any("forward" in vars(module) for module in built.modules())


def test_model_without_a_known_module():
    batch = [torch.zeros(2, 4)]
    with pytest.raises(accuracy.AccuracyError, match="Linear must have a softmax that is known"):
        accuracy.approximate(nn.Linear(4, 4), softmax="softmax-e2", calibrate=batch)
    with pytest.raises(accuracy.AccuracyError, match="Linear must have a LayerNorm or RMSNorm"):
        accuracy.approximate(nn.Linear(4, 4), layernorm="layernorm-ai", calibrate=batch)
    with pytest.raises(accuracy.AccuracyError, match="must be a torch.nn.Module, not str"):
        accuracy.approximate("bert", softmax="softmax-e2")
    with pytest.raises(accuracy.AccuracyError, match="must be on the CPU, not on meta"):
        accuracy.approximate(nn.Linear(4, 4, device="meta"), softmax="softmax-e2")


def test_activations_that_are_not_numbers():
    built, batch = made(bert), text()
    hw = accuracy.approximate(built, softmax="softmax-e2", layernorm="layernorm-ai",
                              calibrate=[batch])
    with torch.no_grad():
        built.encoder.layer[1].attention.self.query.weight[0, 0] = math.nan
        with pytest.raises(accuracy.AccuracyError, match="layer.1.attention.self must be numbers"):
            built(**batch)
        built.embeddings.word_embeddings.weight.fill_(math.nan)
        with pytest.raises(accuracy.AccuracyError, match="embeddings.LayerNorm must be numbers"):
            built(**batch)
    # A pass that fails leaves no mode behind.
    assert not torch.overrides._get_current_function_mode_stack()
    hw.restore()
    with pytest.raises(accuracy.AccuracyError, match="must be finite numbers"):
        accuracy.approximate(built, layernorm="layernorm-ai", calibrate=[batch])


def test_rows_longer_than_the_unit_takes():
    batch = text()
    for batches in (None, [batch]):
        built = made(bert)
        with pytest.raises(accuracy.AccuracyError, match="at most 8 elements, the unit's max_len"):
            accuracy.approximate(built, softmax="softmax-e2:max_length=8", calibrate=batches)
            built(**batch)


def test_modules_keep_their_modes():
    """Calibration and comparison run in evaluation mode; a frozen part stays as it was."""
    built, batch = made(bert).train(), text()
    built.embeddings.eval()
    hw = accuracy.approximate(built, softmax="softmax-e2", calibrate=[batch], method="largest")
    hw.compare([batch])
    assert built.training and built.encoder.training and not built.embeddings.training


def test_units_are_not_put_in_twice():
    built = made(bert)
    hw = accuracy.approximate(built, softmax="softmax-e2")
    with pytest.raises(accuracy.AccuracyError, match="must not hold units already"):
        accuracy.approximate(built, softmax="softmax-e2")
    hw.restore()
    accuracy.approximate(built, softmax="softmax-e2").restore()


def test_settings_of_another_model(calibrated):
    with pytest.raises(accuracy.AccuracyError, match="Settings name encoder.layer.0"):
        accuracy.approximate(made(gpt2), settings=calibrated[2].settings)


def test_damaged_settings(tmp_path):
    for name, content in (("a.json", "{"), ("b.toml", "x = "), ("c.json", '{"heads": {"a": 1}}'),
                          ("d.json", '{"softmax": {"unit": "softmax-e9"}}')):
        (tmp_path / name).write_text(content)
        with pytest.raises(accuracy.AccuracyError, match="damaged"):
            settings.Settings.load(tmp_path / name)
