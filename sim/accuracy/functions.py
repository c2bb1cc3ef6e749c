"""Attention by functions: ``scaled_dot_product_attention``, ``nn.MultiheadAttention``, ``softmax``.

While the model's forward pass runs, a function mode sees the calls. The place of a call is named
after the module that makes it. A plain ``softmax`` counts if that module's type is called an
attention and the logits have four axes, their heads on the second: models that compute attention by
themselves do that, and routers and classifiers do not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .attention import attend
from .engine_place import EnginePlace
from .errors import AccuracyError
from .mask import NEVER
from .place import SoftmaxPlace

__all__ = ["Functions"]

_MULTIHEAD = functional.multi_head_attention_forward
_ATTENTION = functional.scaled_dot_product_attention
_SOFTMAX = (functional.softmax, torch.softmax, torch.Tensor.softmax)


class _Mode(TorchFunctionMode):
    """Hands attention to ``attention``, and its softmax alone to ``softmax``.

    ``is_attention(logits)`` says whether a plain softmax is one of an attention.
    """

    def __init__(self, attention: Callable, softmax: Callable, is_attention: Callable) -> None:
        super().__init__()
        self._attention, self._softmax = attention, softmax
        self._is_attention = is_attention

    def __torch_function__(self, func: Callable, types: object, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        kwargs = kwargs or {}
        if func is _ATTENTION:
            return self._attention(*args, **kwargs)
        if func is _MULTIHEAD:
            # What it calls is not seen by a mode, but looked up in its module.
            with _names(functional, scaled_dot_product_attention=self._attention,
                        softmax=self._softmax):
                return func(*args, **kwargs)
        if func in _SOFTMAX:
            logits, dim, *_ = *args, *(kwargs[key] for key in ("input", "dim") if key in kwargs)
            if self._is_attention(logits, dim):
                dtype = kwargs.get("dtype")
                return self._softmax(logits if dtype is None else logits.to(dtype))
        return func(*args, **kwargs)


@contextlib.contextmanager
def _names(module: object, **values: object) -> Iterator[None]:
    before = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


class Functions:
    """Attention of PyTorch inside ``model``, replaced from construction to :meth:`restore`.

    Parameters
    ----------
    model : nn.Module
        Model.
    find : callable
        Returns the place of a module.
    elsewhere : callable
        Whether a module's attention is taken over elsewhere, so that its softmax is left alone.
    """

    def __init__(self, model: nn.Module,
                 find: Callable[[nn.Module], SoftmaxPlace | EnginePlace],
                 elsewhere: Callable[[nn.Module], bool]) -> None:
        self._find, self._elsewhere = find, elsewhere
        self._stack: list[nn.Module] = []
        self._modes: list[_Mode] = []
        self._handles = []
        for module in model.modules():
            self._handles += [module.register_forward_pre_hook(self._enter),
                              module.register_forward_hook(self._leave, always_call=True)]
        self._handles += [
            model.register_forward_pre_hook(self._start, prepend=True),
            model.register_forward_hook(self._end, always_call=True)]

    def restore(self) -> None:
        """Take the hooks out."""
        for handle in self._handles:
            handle.remove()

    # Hooks

    def _start(self, module: nn.Module, *_: object) -> None:
        # A pass that failed may have left its modules here.
        if not self._modes:
            self._stack.clear()
        mode = _Mode(self._attention, self._softmax, self._is_attention)
        self._modes.append(mode)
        mode.__enter__()

    def _end(self, *_: object) -> None:
        if self._modes:
            self._modes.pop().__exit__(None, None, None)

    def _enter(self, module: nn.Module, *_: object) -> None:
        self._stack.append(module)

    def _leave(self, module: nn.Module, *_: object) -> None:
        while self._stack and self._stack.pop() is not module:
            pass

    # Functions

    def _attention(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
                   attn_mask: torch.Tensor | None = None, dropout_p: float = 0.0,
                   is_causal: bool = False, scale: float | None = None,
                   enable_gqa: bool = False) -> torch.Tensor:
        if query.ndim < 3:
            raise AccuracyError("Queries of scaled_dot_product_attention must have at least 3 "
                                f"axes, not {query.ndim}")
        if is_causal:
            # PyTorch's rule: the first query and the first key are of one token.
            attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        # One axis of batches, one of heads.
        shape, batch = query.shape, query.shape[:-3]
        if query.ndim == 3 and enable_gqa:
            query, key, value = (x[None] for x in (query, key, value))
        elif query.ndim == 3:
            batch = query.shape[:1]
            query, key, value = (x.unsqueeze(1) for x in (query, key, value))
            if attn_mask is not None and attn_mask.ndim == 3:
                attn_mask = attn_mask.unsqueeze(1)
        elif query.ndim > 4:
            query, key, value = (x.flatten(0, -4) for x in (query, key, value))
            if attn_mask is not None and attn_mask.ndim > 3:
                attn_mask = attn_mask.expand(*batch, *attn_mask.shape[-3:]).flatten(0, -4)
        output, _ = attend(self._find(self._stack[-1]), query, key, value, mask=attn_mask,
                           scaling=scale, dropout=dropout_p)
        return output.reshape(*shape[:-1], value.shape[-1])

    def _is_attention(self, logits: torch.Tensor, dim: int | None) -> bool:
        module = self._stack[-1]
        return ("attention" in type(module).__name__.lower() and logits.ndim == 4
                and dim in (-1, 3) and not self._elsewhere(module))

    def _softmax(self, logits: torch.Tensor, dim: int = -1, **_: object) -> torch.Tensor:
        module = self._stack[-1]
        place = self._find(module)
        if isinstance(place, EnginePlace):
            raise AccuracyError(f"Attention at {place.name} must be by scaled_dot_product_attention"
                                ", without its weights, for an engine; softmax= takes its softmax "
                                "over alone")
        rows = logits
        if rows.ndim == 3:
            # Multi-head attention: batch and heads are one axis.
            rows = rows.reshape(-1, getattr(module, "num_heads", 1), *rows.shape[-2:])
        # Masks have been added: minus infinity, or numbers as low, take no part.
        weights = place.weights(rows, rows.detach() >= NEVER)
        return weights.reshape(logits.shape)
