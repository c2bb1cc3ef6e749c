"""Hugging Face models: attention and masks through the interfaces of Transformers.

The mask interface is registered with the attention interface. Without it Transformers takes the
implementation for one that needs no masks, and gives padded batches none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from .attention import attend
from .engine_place import EnginePlace
from .errors import AccuracyError
from .place import SoftmaxPlace

__all__ = ["Implementation", "NAME", "has_place", "roots"]

#: Name of the implementation of attention.
NAME = "transformer_rtl"

# Attribute of a module: the function that finds its place. On the module, it lives as long.
_FIND = "_find_softmax_place"


def _forward(module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
             attention_mask: torch.Tensor | None, scaling: float | None = None,
             dropout: float = 0.0, softcap: float | None = None, is_causal: bool | None = None,
             position_bias: torch.Tensor | None = None, s_aux: torch.Tensor | None = None,
             position_ids: torch.Tensor | None = None,
             **_: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention as Transformers calls it: outputs (batch, queries, heads, dim), and weights."""
    find = module.__dict__.get(_FIND)
    if find is None:
        raise AccuracyError(f"Attention {NAME!r} must be set by sim.accuracy.approximate, not by "
                            "set_attn_implementation")
    if s_aux is not None:
        raise AccuracyError(f"Attention {type(module).__name__} must have no sinks: no unit adds "
                            "one to its sum")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", False)
    # As in Transformers' own: no mask is causal in a decoder, but for a single query.
    is_causal = bool(is_causal) and attention_mask is None and query.shape[-2] > 1
    if position_bias is not None:
        if attention_mask is not None and attention_mask.dtype == torch.bool:
            position_bias = position_bias.masked_fill(~attention_mask, -torch.inf)
        elif attention_mask is not None:
            position_bias = position_bias + attention_mask
        attention_mask = position_bias
    output, weights = attend(find(module), query, key, value, mask=attention_mask,
                             is_causal=is_causal, scaling=scaling, softcap=softcap,
                             dropout=dropout, positions=position_ids)
    return output.transpose(1, 2).contiguous(), weights


AttentionInterface.register(NAME, _forward)
AttentionMaskInterface.register(NAME, eager_mask)


def has_place(module: nn.Module) -> bool:
    """Whether a module's attention is of an :class:`Implementation`."""
    return _FIND in module.__dict__


def roots(model: nn.Module) -> list[PreTrainedModel]:
    """Return the outermost Hugging Face models in ``model`` whose attention can be set."""
    found: list[PreTrainedModel] = []
    inside: set[int] = set()
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and id(module) not in inside:
            inside.update(map(id, module.modules()))
            if module._can_set_attn_implementation():
                found.append(module)
    return found


class Implementation:
    """Attention of a Hugging Face model, replaced from construction to :meth:`restore`.

    Parameters
    ----------
    model : PreTrainedModel
        Model.
    find : callable
        Returns the place of an attention module.
    """

    def __init__(self, model: PreTrainedModel,
                 find: Callable[[nn.Module], SoftmaxPlace | EnginePlace]) -> None:
        config = model.config
        if config._attn_implementation == NAME:
            raise AccuracyError("Argument model must not hold units already: restore() takes them "
                                "out")
        self._model = model
        self._before = {"": config._attn_implementation}
        for key in config.sub_configs:
            part = getattr(config, key, None)
            if part is not None:
                self._before[key] = part._attn_implementation
        for module in model.modules():
            setattr(module, _FIND, find)
        model.set_attn_implementation(NAME)

    def restore(self) -> None:
        """Put the implementation back that was there."""
        self._model.set_attn_implementation(self._before)
        for module in self._model.modules():
            module.__dict__.pop(_FIND, None)
