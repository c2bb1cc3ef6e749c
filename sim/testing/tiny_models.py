"""Tiny random models of Transformers, one of every class, with what they take.

All have 4 heads of 8 dimensions and 2 layers. PyTorch and Transformers are needed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers

__all__ = ["SIZES", "bert", "first", "gemma", "gpt2", "image", "llama", "made", "text", "vit"]

# Models this small gain nothing by threads, and lose much where processors are shared.
torch.set_num_threads(1)

#: Parameters that most configurations share.
SIZES = {"hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2,
         "num_attention_heads": 4, "vocab_size": 50, "max_position_embeddings": 64,
         "pad_token_id": 0}


def bert() -> torch.nn.Module:
    """Encoder of text."""
    return transformers.BertModel(transformers.BertConfig(**SIZES))


def gpt2() -> torch.nn.Module:
    """Causal model with positions that are learnt."""
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=50, n_positions=64, bos_token_id=1,
        eos_token_id=None, pad_token_id=0))


def llama() -> torch.nn.Module:
    """Causal model with grouped heads."""
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **SIZES, num_key_value_heads=2, eos_token_id=None))


def gemma(softcap: float | None = 5.0) -> torch.nn.Module:
    """Causal model with grouped heads, a window of 4 in the first layer, and a soft cap."""
    return transformers.Gemma2ForCausalLM(transformers.Gemma2Config(
        **SIZES, num_key_value_heads=2, head_dim=8, sliding_window=4, eos_token_id=None,
        query_pre_attn_scalar=8, attn_logit_softcapping=softcap,
        layer_types=["sliding_attention", "full_attention"]))


def vit() -> torch.nn.Module:
    """Encoder of images."""
    return transformers.ViTModel(transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
        image_size=16, patch_size=4), add_pooling_layer=False)


def made(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Return a model whose logits spread over several octaves, always the same one."""
    torch.manual_seed(1)
    built = build().eval()
    with torch.no_grad():
        for weight in built.parameters():
            if weight.ndim == 2:
                weight.mul_(12.0)
    return built


def text(padding: str | None = None, length: int = 12) -> dict[str, torch.Tensor]:
    """Return three texts; padded ``"left"`` or ``"right"``, two of them are shorter."""
    ids = torch.randint(1, 50, (3, length), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    for row, missing in enumerate((0, length // 4, length // 2 + 1)):
        if padding == "right" and missing:
            mask[row, -missing:] = 0
        if padding == "left":
            mask[row, :missing] = 0
    return {"input_ids": ids} | ({} if padding is None else {"attention_mask": mask})


def image() -> dict[str, torch.Tensor]:
    """Return two images."""
    return {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))}


def first(output: object) -> torch.Tensor:
    """Return the first tensor of what a model puts out."""
    return output[0] if isinstance(output, tuple) else next(iter(output.values()))
