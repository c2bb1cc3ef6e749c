"""Quantisers of float tensors: codes of logits and of LayerNorm inputs.

Logits of one row are ``code = clip(round(logit / step) + offset)``, rounded half up. Softmax is
shift invariant, so the offset, an integer for each head, changes nothing but which logits the clip
reaches: the largest ones of a head go to the top of the range, and what saturates is far below.
"""

from __future__ import annotations

import torch

from rtl.fixed import signed_range

from .errors import AccuracyError
from .kernel import is_power_of_two

__all__ = ["quantise_inputs", "quantise_logits"]


def quantise_logits(logits: torch.Tensor, step: float, offsets: torch.Tensor, bits: int,
                    place: str) -> torch.Tensor:
    """Return the codes of logits: int8, or int16 for more than 8 bits.

    Parameters
    ----------
    logits : float tensor, shape (..., heads, queries, keys)
        Infinite ones saturate.
    step : float
        Real value of a code's step.
    offsets : integer tensor, shape (heads,) or ()
        Added to the codes of each head before the clip.
    bits : int
        Width of a code, signed.
    place : str
        Names the logits in errors.
    """
    low, high = signed_range(bits)
    # A division by a power of two is exact in float32; any other is done in float64. Twice the
    # quotient is floored, since the quotient plus a half is not exact in floating point:
    # floor(t + 1/2) = floor((floor(2 * t) + 1) / 2).
    if is_power_of_two(step):
        twice = logits.to(torch.float32) * (2.0 / step)
    else:
        twice = logits.to(torch.float64) / step * 2.0
    twice.floor_().clamp_(-2.0 ** 20, 2.0 ** 20)
    shift = 2 * offsets.to(twice.dtype) + 1
    twice.add_(shift[:, None, None] if shift.ndim else shift)
    codes = twice.mul_(0.5).floor_().clamp_(low, high)
    _refuse_nan(codes, place)
    return codes.to(torch.int8 if bits <= 8 else torch.int16)


def quantise_inputs(inputs: torch.Tensor, steps: torch.Tensor, offset: float, zero_point: int,
                    limits: tuple[int, int], place: str) -> torch.Tensor:
    """Return the codes of LayerNorm inputs: ``clip(round((input - offset) / step) + zero_point)``.

    int32, rounded half up.

    Parameters
    ----------
    inputs : float tensor, shape (..., channels)
        Inputs.
    steps : float64 tensor, shape (channels,)
        Real value of a step of each channel.
    offset : float
        Real value of the zero point.
    zero_point, limits : int, pair of int
        Code of the offset; least and largest code.
    place : str
        Names the inputs in errors.
    """
    codes = inputs.to(torch.float64).sub(offset).div_(steps).add_(0.5).floor_()
    codes.add_(zero_point).clamp_(*limits)
    _refuse_nan(codes, place)
    return codes.to(torch.int32)


def _refuse_nan(codes: torch.Tensor, place: str) -> None:
    # All codes are within the clip, so that their sum is NaN only if one of them is.
    if torch.isnan(codes.sum()):
        raise AccuracyError(f"Activations at {place} must be numbers, not NaN")
