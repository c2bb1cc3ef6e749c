"""What a Hugging Face model computes on the way, seen by hooks: attention and norms.

Inputs of LayerNorms come from forward hooks. Attention has none that shows its logits, so while the
hooks are in, the model's attention is the one here: what Transformers' own eager one computes, of
encoders, decoders and vision models, with masks, grouped heads and soft caps.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from .errors import AccuracyError
from .interface import roots
from .mask import causal, split_mask
from .modules import is_norm
from .place import exact_softmax
from .scores import repeat_heads, scaled_logits

__all__ = ["Attended", "hooked"]

NAME = "transformer_rtl_hooks"
# Attribute of a module: the function that is told, and the module's name. On the module, they live
# as long.
_TOLD = "_tell_attention"


@dataclasses.dataclass(frozen=True, eq=False)
class Attended:
    """What one attention module has computed.

    Attributes
    ----------
    name : str
        Module.
    query, key, value : tensors, shape (batch, heads, tokens, dim)
        Queries, keys and values; keys and values of grouped heads are repeated.
    logits : tensor, shape (batch, heads, queries, keys)
        Before the softmax, with what is added to them; without the mask.
    dead : boolean tensor, shape (batch, heads, queries, keys)
        True where the mask takes a key away.
    """

    name: str
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    logits: torch.Tensor
    dead: torch.Tensor


def _forward(module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
             attention_mask: torch.Tensor | None, scaling: float | None = None,
             softcap: float | None = None, is_causal: bool | None = None,
             position_bias: torch.Tensor | None = None, s_aux: torch.Tensor | None = None,
             **_: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention as Transformers calls it: outputs (batch, queries, heads, dim), and weights."""
    tell, name = module.__dict__[_TOLD]
    if s_aux is not None:
        raise AccuracyError(f"Attention {name} must have no sinks to be captured")
    groups = query.shape[-3] // key.shape[-3]
    key, value = repeat_heads(key, groups), repeat_heads(value, groups)
    logits = scaled_logits(query, key, scaling, softcap)
    if position_bias is not None:
        logits = logits + position_bias
    queries, keys = logits.shape[-2:]
    if is_causal is None:
        is_causal = getattr(module, "is_causal", False)
    if is_causal and attention_mask is None and queries > 1:
        attention_mask = causal(queries, keys, offset=keys - queries)
    dead, bias = split_mask(attention_mask, logits)
    if bias is not None:
        logits = logits + bias
    weights = exact_softmax(logits, dead)
    taken = torch.zeros((), dtype=torch.bool) if dead is None else dead
    tell(Attended(name, query, key, value, logits, taken.expand(logits.shape)))
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


AttentionInterface.register(NAME, _forward)
AttentionMaskInterface.register(NAME, eager_mask)


@contextlib.contextmanager
def hooked(model: nn.Module, attention: Callable[[Attended], None] | None = None,
           norm: Callable[[str, torch.Tensor], None] | None = None) -> Iterator[None]:
    """Tell what a model computes while it runs inside a ``with`` block.

    Parameters
    ----------
    model : nn.Module
        Model of Transformers, or one that holds some.
    attention : callable
        Is given what each attention module has computed, in the order of the forward pass.
    norm : callable
        Is given the name of each LayerNorm or RMSNorm, and its input (..., channels).

    Raises
    ------
    AccuracyError
        If attention is asked for, and the model has none of Transformers' interface.
    """
    names = {module: name for name, module in model.named_modules()}

    def enter(module: nn.Module, inputs: tuple, named: dict) -> None:
        norm(names[module], [*inputs, *named.values()][0])

    with contextlib.ExitStack() as stack:
        if norm is not None:
            for module in filter(is_norm, names):
                stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
        if attention is not None:
            found = roots(model)
            if not found:
                raise AccuracyError(f"Model {type(model).__name__} must have an attention that "
                                    "Transformers can exchange")
            for module, name in names.items():
                setattr(module, _TOLD, (attention, name))
                stack.callback(module.__dict__.pop, _TOLD)
            for root in found:
                stack.callback(root.set_attn_implementation, _implementations(root))
                root.set_attn_implementation(NAME)
        yield


def _implementations(model: PreTrainedModel) -> dict[str, str]:
    """Implementations of attention that a model has now, by its parts."""
    parts = {"": model.config}
    for key in model.config.sub_configs:
        if getattr(model.config, key, None) is not None:
            parts[key] = getattr(model.config, key)
    return {key: config._attn_implementation for key, config in parts.items()}
