"""Sliding windows of models by engines with resident sets: against sets that grow key by key."""

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
pytest.importorskip("transformers", reason="needs the extra torch")

from sim import accuracy  # noqa: E402
from sim.accuracy import settings  # noqa: E402
from sim.accuracy.settings import Settings  # noqa: E402
from sim.model.attention.resident import Append, Head, Query, run  # noqa: E402
from sim.testing.tiny_models import first, gemma, llama, made, text  # noqa: E402

ENGINE = "attention:dense,store=resident,scales=run-time,max_keys=16,lanes={}"
windowed = functools.partial(gemma, softcap=None)


class Decoded:
    """Observer that computes each attention again, by commands to a ring, a key at a time."""

    takes_over = True

    def __init__(self, units, mask):
        self.units, self.mask, self.windows = units, mask, []

    def engine(self, place, inputs, exact, output):
        configs = self.units.attention[place.name]
        self.windows.append(configs[0].window)
        for batch, head in np.ndindex(*output.shape[:2]):
            config = configs[head]
            q, k, v = (np.clip(np.floor(x[batch, head].double().numpy() / scale + 0.5),
                               -128, 127).astype(int)
                       for x, scale in ((inputs.query, config.query_scale),
                                        (inputs.key, config.key_scale),
                                        (inputs.value, config.value_scale)))
            dead = self.mask[batch].numpy() == 0
            numbers = config.set_parameters
            answers = run(config, config.regions, [command for j in range(len(k)) for command in (
                Append(0, k[[j]], v[[j]], dead[[j]]), Query(0, q[[j]], j))],
                [Head(numbers.logit, numbers.output)])
            assert not any(answer.marked.any() for answer in answers)
            y = np.concatenate([answer.y for answer in answers]) * config.output_scale
            assert torch.equal(output[batch, head], torch.from_numpy(y).to(output.dtype))


@pytest.mark.parametrize("lanes, padding", [(1, "right"), (4, "left")])
def test_windows_are_bit_exact(lanes, padding):
    built, batch = made(windowed), text(padding)
    hw = accuracy.approximate(built, attention=ENGINE.format(lanes), calibrate=[batch],
                              per_head=True)
    look = Decoded(Settings.from_dict(hw.settings.to_dict()), batch["attention_mask"])
    with hw.observed(look):
        built(**batch)
    assert look.windows == [4, 0]
    assert max(place.error for place in hw.compare([batch]).places) < 0.1


@pytest.mark.parametrize("lanes, padding", [(1, None), (4, "left")])
def test_generate_equals_a_run_without_cache(lanes, padding):
    """The cache keeps the last keys only: their lanes are those of their positions all the same."""
    built, batch = made(windowed), text(padding, length=6)
    accuracy.approximate(built, attention=ENGINE.format(lanes), calibrate=[batch], per_head=True)
    cached, whole = (built.generate(
        **batch, max_new_tokens=8, do_sample=False, use_cache=use_cache, output_logits=True,
        return_dict_in_generate=True) for use_cache in (True, False))
    assert cached.sequences.shape == (3, 14)
    assert torch.equal(cached.sequences, whole.sequences)
    for some, every in zip(cached.logits, whole.logits, strict=True):
        torch.testing.assert_close(some, every, rtol=0, atol=1e-4)


def test_one_engine_serves_all_heads(tmp_path, monkeypatch):
    """Grouped heads of all layers: scales of their own, one step of the logits, one core."""
    built, batch, made_of = made(llama), text("left"), []
    hw = accuracy.approximate(built, attention=ENGINE.format(2), calibrate=[batch], per_head=True)
    configs = [config for each in hw.settings.attention.values() for config in each]
    assert len(configs) == 8 and len({config.query_scale for config in configs}) == 8
    assert len({config.key_scale for config in configs}) == 4
    assert {(config.heads, config.window) for config in configs} == {(4, 0)}
    monkeypatch.setattr(settings, "generate", lambda config, folder: made_of.append(config))
    core, scales = hw.emit(tmp_path)
    assert [core.name] == [config.name for config in made_of]
    assert Settings.load(scales) == hw.settings
    with torch.no_grad():
        wanted = first(built(**batch))
        hw.restore()
        accuracy.approximate(built, settings=Settings.load(scales))
        assert torch.equal(first(built(**batch)), wanted)


@pytest.mark.parametrize("unit, message", [
    ("attention:dense,max_keys=16", "store must be resident for the model's sliding windows"),
    (ENGINE.format(1) + ",causal=true,window=6", "window must be 4, that of the model, not 6"),
    (ENGINE.format(1) + ",causal=true,window=4,sinks=2", "sinks must be 0"),
])
def test_refusals(unit, message):
    with pytest.raises(accuracy.AccuracyError, match=message):
        accuracy.approximate(made(windowed), attention=unit, calibrate=[text()])


def test_another_window():
    built = made(windowed)
    accuracy.approximate(built, attention=ENGINE.format(1), calibrate=[text()])
    layer = built.model.layers[0].self_attn
    x = torch.zeros(1, 4, 9, 8)
    attend = built.config._attn_implementation
    from transformers import AttentionInterface
    for mask in (None, torch.ones(9, 9).tril().triu(-4).bool()[None, None]):
        with pytest.raises(accuracy.AccuracyError, match="the window of its engine, 4, not"):
            AttentionInterface()[attend](layer, x, x, x, mask, is_causal=True)
