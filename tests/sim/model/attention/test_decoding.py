"""A small causal model with grouped heads that decodes through the engine's model."""

import dataclasses

import numpy as np
import pytest

from rtl import unit
from sim.model.attention.resident import Append, Query, ResidentSets, Truncate

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

PROMPT, TOKENS, KEY_HEADS = 5, 64, 2


class Attention:
    """Attention of Transformers on resident sets: one for each layer's key head."""

    def __init__(self, config):
        self.config, self.layers, self.appended = config, {}, 0

    def __call__(self, module, query, key, value, mask, **options):
        config, new = self.config, query.shape[2]
        sets = self.layers.setdefault(module.layer_idx,
                                      ResidentSets(config, config.regions))
        start = key.shape[2] - new
        q, k, v = (self.codes(x[0, :, -new:]) for x in (query, key, value))
        sets.answers.clear()
        for number in range(KEY_HEADS):
            if not start:
                sets.execute(Truncate(number))
            sets.execute(Append(number, k[number], v[number]))
        self.appended += new
        for head in range(len(q)):
            sets.execute(Query(head * KEY_HEADS // len(q), q[head], start))
        assert not any(answer.marked.any() for answer in sets.answers)
        y = np.stack([answer.y for answer in sets.answers], axis=1) * config.output_scale
        return torch.from_numpy(y[None]).to(query.dtype), None

    def codes(self, x):
        low, high = self.config.element_range
        return np.clip(np.rint(x.detach().numpy() / self.config.key_scale), low, high).astype(int)


@pytest.mark.parametrize("sizes", [
    pytest.param({"max_keys": 72}, id="all", marks=pytest.mark.slow),
    pytest.param({"max_keys": 24, "window": 9, "sinks": 3}, id="window")])
def test_decoded_tokens_are_those_of_the_prefill(sizes):
    """64 tokens one by one, with sets that stay, then all at once: the same bits at every token."""
    torch.manual_seed(1)
    # In double precision no rounding of the rest of the model reaches a code.
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=KEY_HEADS, vocab_size=50, max_position_embeddings=128,
        eos_token_id=None)).eval().double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(12.0 if weight.ndim == 2 else 1.0)
    config = unit("attention")(
        store="resident", causal=True, dim=8, lanes=2, sets=KEY_HEADS, chunk=PROMPT, **sizes)
    attention = Attention(config)
    transformers.AttentionInterface.register("resident", attention)
    model.set_attn_implementation("resident")
    prompt = torch.arange(1, 1 + PROMPT)[None]
    with torch.no_grad():
        tokens = model.generate(prompt, max_new_tokens=TOKENS, do_sample=False, use_cache=True,
                                attention_mask=torch.ones_like(prompt), pad_token_id=0)
        # Every token was appended once to each layer: nothing is loaded again.
        assert attention.appended == 2 * (PROMPT + TOKENS - 1)
        whole = Attention(dataclasses.replace(config, max_keys=96, chunk=80 if sizes.get("window")
                                              else 1))
        transformers.AttentionInterface.register("resident", whole)
        logits = model(tokens[:, :-1], use_cache=False).logits
    assert tokens.shape == (1, PROMPT + TOKENS)
    assert len(set(tokens[0].tolist())) > 5
    assert logits[0, PROMPT - 1:].argmax(-1).tolist() == tokens[0, PROMPT:].tolist()
