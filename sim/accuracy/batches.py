"""Batches of a model's inputs: checked, and run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

from .errors import AccuracyError
from .kernel import on_cpu

__all__ = ["Batch", "checked", "outputs_of", "run", "tokens_of"]

#: A dictionary of the model's named inputs, a tensor, or a tuple of tensors.
Batch = Mapping[str, torch.Tensor] | torch.Tensor | tuple


def checked(batches: Iterable[Batch], argument: str) -> list[Batch]:
    """Return the batches as a list.

    Raises
    ------
    AccuracyError
        If there is none, or one is empty, of labels or text, or not on the CPU.
    """
    allowed = "batches for the model (dictionaries of tensors, tensors or tuples of tensors)"
    if isinstance(batches, torch.Tensor | Mapping | str) or not isinstance(batches, Iterable):
        hint = " of one batch: put it into a list" if isinstance(batches, torch.Tensor | Mapping) \
            else ""
        raise AccuracyError(f"Argument {argument} must be a list of {allowed}, not "
                            f"{type(batches).__name__}{hint}")
    result = list(batches)
    if not result:
        raise AccuracyError(f"Argument {argument} must have at least one batch, not 0")
    for number, batch in enumerate(result):
        tensors = _tensors(batch)
        if not tensors:
            raise AccuracyError(f"Argument {argument} must be {allowed}; batch {number} is "
                                f"{type(batch).__name__}, which is no input of a model")
        for name, tensor in tensors.items():
            if tensor.ndim < 2 and not name:
                raise AccuracyError(f"Argument {argument} must be {allowed}; batch {number} has "
                                    f"the shape {tuple(tensor.shape)}, as labels have")
            if not tensor.numel():
                raise AccuracyError(f"Argument {argument} must have no empty batch; batch {number} "
                                    f"has the shape {tuple(tensor.shape)}")
            on_cpu(tensor.device, f"Batch {number} of argument {argument}")
            if tensor.is_floating_point() and torch.isnan(tensor).any():
                raise AccuracyError(f"Argument {argument} must be numbers; batch {number} has NaN")
    return result


def run(model: nn.Module, batch: Batch) -> object:
    """Return the model's output for a batch; labels are left out."""
    if isinstance(batch, torch.Tensor):
        return model(batch)
    if isinstance(batch, Mapping):
        return model(**{key: value for key, value in batch.items() if key != "labels"})
    return model(*batch)


def tokens_of(batch: Batch) -> torch.Tensor | None:
    """Return which tokens (batch, tokens) are no padding, if the batch says so."""
    if not isinstance(batch, Mapping):
        return None
    mask = batch.get("attention_mask")
    return mask.bool() if isinstance(mask, torch.Tensor) and mask.ndim == 2 else None


def outputs_of(output: object) -> Iterator[torch.Tensor]:
    """Yield the float tensors of a model's output: its first one is what is compared."""
    if isinstance(output, torch.Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from outputs_of(value)
    elif isinstance(output, tuple | list):
        for value in output:
            yield from outputs_of(value)


def _tensors(batch: object) -> dict[str, torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        return {"": batch}
    if isinstance(batch, Mapping):
        return {str(key): value for key, value in batch.items()
                if isinstance(value, torch.Tensor)}
    if isinstance(batch, tuple | list) and batch and all(isinstance(value, torch.Tensor)
                                                         for value in batch):
        return {"": batch[0]}
    return {}
