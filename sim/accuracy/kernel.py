"""The integer models on tensors: one kernel for NumPy and PyTorch.

A tensor of codes is handed to :func:`sim.model.run` without a copy, as the array that shares its
memory, and its result comes back the same way. What a drop-in computes is therefore what the model
computes, and what the hardware does.
"""

from __future__ import annotations

import math

import torch

from rtl import UnitConfig

from .. import model
from .errors import AccuracyError

__all__ = ["StraightThrough", "check", "is_power_of_two", "on_cpu", "run", "scaled"]


def is_power_of_two(step: float) -> bool:
    """Whether products and quotients by ``step`` are exact in any floating point."""
    return math.frexp(step)[0] == 0.5


def scaled(y: torch.Tensor, step: float, dtype: torch.dtype) -> torch.Tensor:
    """Return the real values of integers of one step, rounded to ``dtype`` once."""
    if is_power_of_two(step) and dtype in (torch.float32, torch.float64):
        return y.to(dtype).mul_(step)
    return y.to(torch.float64).mul_(step).to(dtype)


def on_cpu(device: torch.device, what: str) -> None:
    """Refuse a device that is not the CPU."""
    if device.type != "cpu":
        raise AccuracyError(f"{what} must be on the CPU, not on {device}: .cpu() moves there")


def check(tensor: torch.Tensor, place: str) -> None:
    """Refuse a tensor that is not on the CPU or not of floating point."""
    on_cpu(tensor.device, f"Tensors at {place}")
    if not tensor.is_floating_point():
        raise AccuracyError(f"Tensors at {place} must be of floating point, not {tensor.dtype}")


def run(config: UnitConfig, codes: torch.Tensor, dead: torch.Tensor | None = None) -> torch.Tensor:
    """Return what the unit of ``config`` puts out, an int32 tensor of the shape of ``codes``.

    Parameters
    ----------
    config : UnitConfig
        Softmax or LayerNorm.
    codes : integer tensor, shape (..., length)
        Inputs, in the range of ``config.bits``.
    dead : boolean tensor, broadcastable to ``codes``
        True: the element takes no part.
    """
    mask = None if dead is None else dead.numpy()
    arrays = (codes.numpy(),) if mask is None else (codes.numpy(), mask)
    return torch.from_numpy(model.run(config, *arrays))


class StraightThrough(torch.autograd.Function):
    """``StraightThrough.apply(exact, approximate)``: the value of one, the gradient of the other.

    The value is ``approximate``; its gradient is handed to ``exact``, as if rounding and
    approximation were not there.
    """

    @staticmethod
    def forward(ctx: object, exact: torch.Tensor, approximate: torch.Tensor) -> torch.Tensor:
        return approximate.view_as(approximate)

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None
