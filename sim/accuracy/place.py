"""Places of a model: the softmaxes and LayerNorms that units take over, and what they do there."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch

from rtl import UnitConfig

from .errors import AccuracyError
from .kernel import StraightThrough, check, run, scaled
from .mask import split_mask
from .quantise import quantise_inputs, quantise_logits

__all__ = ["EngineInputs", "NormPlace", "Observer", "SoftmaxPlace", "State", "exact_softmax"]


@dataclasses.dataclass(frozen=True, eq=False)
class EngineInputs:
    """What an engine is given, in float.

    Attributes
    ----------
    query, key, value : tensors, shapes (batch, heads, queries, dim) and (batch, heads, keys, dim)
        Scaled such that the logits are products times ``dim**-0.5``; keys and values of each head.
    logits : tensor, shape (batch, heads, queries, keys)
        Logits in float.
    dead : None, or boolean tensor, broadcastable to the logits
        Elements that take no part.
    causal : bool or None
        As of :class:`~sim.accuracy.mask.EngineMask`, as is ``window``.
    window : int
        Keys up to its own that a query takes; 0 for all.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    logits: torch.Tensor
    dead: torch.Tensor | None
    causal: bool | None
    window: int = 0


class Observer(Protocol):
    """What looks on at the places while a model runs.

    ``takes_over`` says whether the units compute meanwhile; if not, the model runs in float.
    """

    takes_over: bool

    def softmax(self, place: SoftmaxPlace, logits: torch.Tensor, dead: torch.Tensor | None,
                weights: torch.Tensor) -> None:
        """See logits (batch, heads, queries, keys) with their bias, and the weights used."""

    def attention(self, place: SoftmaxPlace, weights: torch.Tensor, value: torch.Tensor,
                  output: torch.Tensor) -> None:
        """See weights, values and outputs of an attention, just after its softmax."""

    def engine(self, place: object, inputs: EngineInputs, exact: torch.Tensor,
               output: torch.Tensor) -> None:
        """See inputs of an engine, float outputs and the outputs used."""

    def norm(self, place: NormPlace, inputs: torch.Tensor, exact: torch.Tensor,
             output: torch.Tensor) -> None:
        """See inputs, float outputs and the outputs used, each (..., channels)."""


@dataclasses.dataclass(eq=False)
class State:
    """What the places of a model share.

    Attributes
    ----------
    enabled : bool
        Whether units compute; the model runs in float if not.
    observer : Observer or None
        What looks on.
    only : set of str or None
        Places whose units compute, all others in float; None stands for all.
    """

    enabled: bool = True
    observer: Observer | None = None
    only: frozenset[str] | None = None

    @property
    def takes_over(self) -> bool:
        """Whether the units compute now."""
        return self.enabled and (self.observer is None or self.observer.takes_over)

    def takes_over_at(self, name: str) -> bool:
        """Whether the unit of a place computes now."""
        return self.takes_over and (self.only is None or name in self.only)


@dataclasses.dataclass(eq=False)
class SoftmaxPlace:
    """A softmax of a model, and the unit that takes it over.

    Attributes
    ----------
    name : str
        Name of the module.
    config : SoftmaxConfig
        Unit.
    state : State
        Shared by all places of the model.
    offsets : int32 tensor, shape (heads,), or () for one of all
        Added to the codes of each head's logits.
    """

    name: str
    config: UnitConfig
    state: State
    offsets: torch.Tensor = dataclasses.field(
        default_factory=lambda: torch.zeros((), dtype=torch.int32))

    def codes(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the unit's inputs for logits (batch, heads, queries, keys)."""
        if self.offsets.ndim and len(self.offsets) != logits.shape[-3]:
            raise AccuracyError(f"Offsets of {self.name} must be for {logits.shape[-3]} heads, "
                                f"not {len(self.offsets)}")
        return quantise_logits(logits, self.config.input_scale, self.offsets, self.config.bits,
                               self.name)

    def weights(self, logits: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the softmax of logits over their last axis, computed by the unit.

        Parameters
        ----------
        logits : float tensor, shape (batch, heads, queries, keys)
            Logits.
        mask : None, or boolean or float tensor
            As of :func:`~sim.accuracy.mask.split_mask`. A row of which nothing takes part is all
            zeros.
        """
        check(logits, self.name)
        if logits.shape[-1] > self.config.max_length:
            raise AccuracyError(f"Rows at {self.name} must have at most {self.config.max_length} "
                                f"elements, the unit's max_length, not {logits.shape[-1]}")
        state = self.state
        dead, bias = split_mask(mask, logits)
        if bias is not None:
            logits = logits + bias
        if not state.takes_over_at(self.name):
            weights = exact_softmax(logits, dead)
        else:
            source = logits.detach()
            y = run(self.config, self.codes(source), dead)
            weights = scaled(y, self.config.output_scale, logits.dtype)
            if torch.is_grad_enabled() and logits.requires_grad:
                weights = StraightThrough.apply(exact_softmax(logits, dead), weights)
        if state.observer is not None:
            state.observer.softmax(self, logits.detach(), dead, weights.detach())
        return weights


def exact_softmax(logits: torch.Tensor, dead: torch.Tensor | None) -> torch.Tensor:
    """Return the float softmax over the last axis; dead elements, and rows of them, give 0."""
    if dead is None:
        return torch.softmax(logits, -1)
    logits = logits.masked_fill(dead, torch.finfo(logits.dtype).min)
    return torch.softmax(logits, -1).masked_fill(dead, 0.0)


@dataclasses.dataclass(eq=False)
class NormPlace:
    """A LayerNorm or RMSNorm of a model, and the unit that takes it over.

    Attributes
    ----------
    name : str
        Name of the module.
    state : State
        Shared by all places of the model.
    gamma, beta : float64 tensors, shape (channels,)
        Weights of the module; beta is 0 for RMSNorm.
    epsilon : float
        What the module adds to the variance, or mean square.
    rms : bool
        RMSNorm.
    config : LayerNormConfig or None
        Unit, once calibrated.
    input_steps, output_steps : float64 tensors, shape (channels,)
        Real value of a step of the input and of the output in each channel.
    input_offset : float
        Real value of the zero point.
    """

    name: str
    state: State
    gamma: torch.Tensor
    beta: torch.Tensor
    epsilon: float
    rms: bool
    config: UnitConfig | None = None
    input_steps: torch.Tensor | None = None
    output_steps: torch.Tensor | None = None
    input_offset: float = 0.0

    def codes(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the unit's inputs for activations (..., channels)."""
        return quantise_inputs(inputs, self.input_steps, self.input_offset,
                               self.config.zero_point, self.config.raw_range, self.name)

    def normalise(self, inputs: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
        """Return the output for ``inputs``, of which the module itself makes ``exact``."""
        check(inputs, self.name)
        state = self.state
        output = exact
        if state.takes_over_at(self.name) and self.config is not None:
            y = run(self.config, self.codes(inputs.detach()))
            output = y.to(torch.float64).mul_(self.output_steps).to(exact.dtype)
            if exact.requires_grad:
                output = StraightThrough.apply(exact, output)
        if state.observer is not None:
            state.observer.norm(self, inputs.detach(), exact.detach(), output.detach())
        return output
