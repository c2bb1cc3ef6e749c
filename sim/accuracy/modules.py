"""Modules that are found by their type: ``nn.Softmax``, LayerNorm and RMSNorm of any library.

A module stays where it is, with its weights; only its ``forward`` is replaced, on the instance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from .errors import AccuracyError
from .mask import NEVER
from .place import NormPlace, SoftmaxPlace, State

__all__ = ["Replaced", "is_norm", "norm_place", "replace_norm", "replace_softmax"]

# Names under which modules keep what they add to the variance.
EPSILONS = ("eps", "variance_epsilon", "epsilon", "norm_eps")


@dataclasses.dataclass(eq=False)
class Replaced:
    """A module whose forward pass is replaced until :meth:`restore`."""

    module: nn.Module

    def restore(self) -> None:
        """Give the module its own forward pass back."""
        self.module.__dict__.pop("forward", None)


def replace_softmax(module: nn.Module, place: SoftmaxPlace) -> Replaced:
    """Let ``place`` compute an ``nn.Softmax``.

    Logits of four axes have their heads on the second, as attention has; all others are of one.
    """
    dim = -1 if module.dim is None else module.dim

    def forward(logits: torch.Tensor) -> torch.Tensor:
        rows = logits.movedim(dim, -1)
        shape = rows.shape
        if rows.ndim < 3:
            rows = rows.reshape(1, 1, -1, shape[-1])
        elif rows.ndim == 3:
            rows = rows.unsqueeze(1)
        # Models mask by minus infinity, or by numbers as low, before an nn.Softmax.
        weights = place.weights(rows, rows.detach() >= NEVER)
        return weights.reshape(shape).movedim(-1, dim)

    module.forward = forward
    return Replaced(module)


def is_norm(module: nn.Module) -> bool:
    """Whether the type of a module says that it is a LayerNorm or an RMSNorm."""
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return True
    name = type(module).__name__
    return (name.endswith(("LayerNorm", "RMSNorm")) and _epsilon(module) is not None
            and getattr(getattr(module, "weight", None), "ndim", None) == 1
            and not list(module.children()))


def norm_place(module: nn.Module, name: str, state: State) -> NormPlace:
    """Return the place of a norm, with the weights that it works with.

    Some models keep gamma less 1 as their weight, so gamma and beta are taken from outputs, and
    then checked on others.
    """
    refused = AccuracyError(f"Module {name} ({type(module).__name__}) must be a LayerNorm or "
                            "RMSNorm over its last axis; layernorm=None leaves all in float")
    channels = _channels(module)
    if channels is None:
        raise refused
    epsilon = _epsilon(module) or 0.0
    generator = torch.Generator().manual_seed(0)
    # No element is near 0 once centred. The second row has a mean, the third one shows epsilon.
    rows = 1.0 + torch.rand(3, channels, generator=generator, dtype=torch.float64)
    rows[:, 1::2] *= -1.0
    rows[1] += 2.0
    rows[2] *= max(epsilon, 1e-12) ** 0.5
    with torch.no_grad():
        y = _apply(module, torch.cat([rows, torch.zeros(1, channels, dtype=torch.float64)]))
    beta = y[3]
    for rms in (False, True):
        normal = _normal(rows, epsilon, rms)
        gamma = (y[0] - beta) / normal[0]
        wanted = normal * gamma + beta
        if torch.allclose(wanted, y[:3], rtol=1e-2, atol=1e-3 * float(y.abs().max() + 1e-30)) \
                and not (rms and beta.any()):
            return NormPlace(name, state, _tidy(module, gamma), beta, epsilon, rms)
    raise refused


def replace_norm(module: nn.Module, place: NormPlace) -> Replaced:
    """Let ``place`` compute a norm."""
    original: Callable = module.forward

    def forward(*inputs: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        source = inputs[0] if inputs else next(iter(named.values()))
        return place.normalise(source, original(*inputs, **named))

    module.forward = forward
    return Replaced(module)


def _epsilon(module: nn.Module) -> float | None:
    for name in EPSILONS:
        value = getattr(module, name, None)
        if isinstance(value, float | int):
            return float(value)
    # nn.RMSNorm takes the precision of its input for None.
    return torch.finfo(torch.float32).eps if isinstance(module, nn.RMSNorm) else None


def _channels(module: nn.Module) -> int | None:
    shape = getattr(module, "normalized_shape", None)
    if shape is None:
        shape = module.weight.shape
    return shape[0] if len(shape) == 1 else None


def _apply(module: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    weight = getattr(module, "weight", None)
    dtype = torch.float32 if weight is None else weight.dtype
    # Rows with axes of batch and tokens, as models have them.
    y = module.forward(rows[None].to(dtype))
    return y[0].to(torch.float64)


def _normal(rows: torch.Tensor, epsilon: float, rms: bool) -> torch.Tensor:
    centred = rows if rms else rows - rows.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + epsilon).sqrt()


def _tidy(module: nn.Module, gamma: torch.Tensor) -> torch.Tensor:
    """Gamma as the module keeps it, where that is what was measured."""
    weight = getattr(module, "weight", None)
    if weight is not None:
        for exact in (weight.detach().to(torch.float64), weight.detach().to(torch.float64) + 1.0):
            if torch.allclose(exact, gamma, rtol=1e-2, atol=1e-2):
                return exact
    return gamma
