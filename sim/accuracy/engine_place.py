"""Attention of a model computed by an engine: from queries, keys and values to outputs.

An element becomes ``code = clip(round(element / scale))``, rounded half up. What scales a model's
logits other than ``dim**-0.5`` is a factor of the queries. Between codes and outputs everything is
:func:`sim.model.run`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from rtl import UnitConfig
from rtl.fixed import signed_range

from ..model.attention import run, run_heads
from .errors import AccuracyError
from .kernel import StraightThrough, check
from .mask import engine_mask, split_mask
from .place import EngineInputs, State, exact_softmax
from .scores import repeat_heads, scaled_logits

__all__ = ["EnginePlace"]


@dataclasses.dataclass(eq=False)
class EnginePlace:
    """An attention of a model, and the engines that take it over.

    Attributes
    ----------
    name : str
        Name of the module.
    state : State
        Shared by all places of the model.
    configs : tuple of AttentionConfig
        One for all heads, or one a head; without any the attention stays in float.
    """

    name: str
    state: State
    configs: tuple[UnitConfig, ...] = ()

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *,
               mask: torch.Tensor | None = None, is_causal: bool = False,
               scaling: float | None = None, softcap: float | None = None,
               dropout: float = 0.0,
               positions: torch.Tensor | None = None) -> tuple[torch.Tensor, None]:
        """Return the outputs; arguments as of :func:`sim.accuracy.attention.attend`.

        Weights, the second result, are not put out by an engine.

        Raises
        ------
        AccuracyError
            If the attention has what no engine computes.
        """
        for tensor in (query, key, value):
            check(tensor, self.name)
        self._refuse(bool(softcap), "no soft cap")
        self._refuse(bool(dropout), "no dropout")
        shape = (*query.shape[:-1], key.shape[-2])
        dead, bias = split_mask(mask, torch.empty(shape, device="meta"))
        self._refuse(bias is not None, "no bias")
        found = engine_mask(dead, is_causal, shape)
        self._refuse(found is None, "masks of keys, causal ones or sliding windows: an engine "
                                    "takes no other mask of a query")
        groups = query.shape[-3] // key.shape[-3]
        if scaling is not None and not math.isclose(scaling, query.shape[-1] ** -0.5):
            query = query * (scaling * query.shape[-1] ** 0.5)
        state, y = self.state, None
        takes_over = state.takes_over_at(self.name) and bool(self.configs)
        if takes_over:
            y = self._run(query.detach(), key.detach(), value.detach(), found, groups, positions)
        gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
        if takes_over and not gradient and state.observer is None:
            return y, None
        # In float: where no engine is, what gradients are of, and what an observer compares with.
        keys, values = repeat_heads(key, groups), repeat_heads(value, groups)
        logits = scaled_logits(query, keys)
        dead = found.dead(shape)
        exact = torch.matmul(exact_softmax(logits, dead), values)
        output = exact if y is None else StraightThrough.apply(exact, y) if gradient else y
        if state.observer is not None:
            state.observer.engine(self, EngineInputs(
                query.detach(), keys.detach(), values.detach(), logits.detach(), dead,
                found.causal, found.window), exact.detach(), output.detach())
        return output, None

    def codes(self, x: torch.Tensor, name: str, groups: int = 1) -> torch.Tensor:
        """Return the integers, int8, of queries, keys or values (batch, heads, tokens, dim).

        ``name`` is that of their scale; each of the heads is met by ``groups`` heads of queries.
        """
        scales = torch.tensor([getattr(config, name) for config in self.configs][::groups],
                              dtype=torch.float64)
        # Not in place: the model's own tensor may be float64.
        values = x.to(torch.float64).div(scales[:, None, None]).add_(0.5).floor_()
        values.clamp_(*signed_range(self.configs[0].bits))
        # Clipped values add up to NaN only if one of them is.
        if torch.isnan(values.sum()):
            raise AccuracyError(f"Activations at {self.name} must be numbers, not NaN")
        return values.to(torch.int8)

    def _run(self, query, key, value, found, groups, positions):
        config, heads = self.configs[0], query.shape[-3]
        self._check_shapes(query, key, value, found)
        single = len(self.configs) == 1
        q = self.codes(query, "query_scale").numpy()
        k, v = (repeat_heads(self.codes(x, name, 1 if single else groups), groups).numpy()
                for x, name in ((key, "key_scale"), (value, "value_scale")))
        padded = None
        if found.keys is not None:
            padded = found.keys.expand(*key.shape[:-3], heads, -1).numpy()
        start = found.start if config.causal else 0
        if config.window:
            y = self._run_windows(q, k, v, padded, start, positions)
        else:
            y = self._compute(q, k, v, padded, start)
        scales = torch.tensor([config.output_scale for config in self.configs],
                              dtype=torch.float64)
        return torch.from_numpy(y).to(torch.float64).mul_(scales[:, None, None]).to(query.dtype)

    def _compute(self, q, k, v, padded, start):
        if len(self.configs) == 1:
            return run(self.configs[0], q, k, v, padded, start=start)
        return run_heads(self.configs, q, k, v, padded, start=start)

    def _run_windows(self, q, k, v, padded, start, positions):
        """Outputs of sets whose first keys may be gone: lanes are those of the texts' positions."""
        lanes, keys = self.configs[0].lanes, k.shape[-2]
        if lanes == 1 or positions is None:
            return self._compute(q, k, v, padded, start)
        # Position of the first key, from that of the last query, which is never padding's.
        first = positions[:, -1].numpy() - (start + q.shape[-2] - 1)
        missing = np.broadcast_to(first % lanes, len(q))
        y = np.empty((*q.shape[:-1], v.shape[-1]), np.int32)
        for number in np.unique(missing):
            own = missing == number
            # Keys in front of the first one, which nothing sees.
            front = [(0, 0)] * (k.ndim - 2) + [(number, 0)]
            hidden = np.zeros((*k[own].shape[:-2], keys), bool) if padded is None else padded[own]
            y[own] = self._compute(
                q[own], *(np.pad(x[own], [*front, (0, 0)]) for x in (k, v)),
                np.pad(hidden, front, constant_values=True), start + number)
        return y

    def _check_shapes(self, query, key, value, found):
        config, heads, keys = self.configs[0], query.shape[-3], key.shape[-2]
        if len(self.configs) not in (1, heads):
            raise AccuracyError(f"Engines of {self.name} must be for {heads} heads, not "
                                f"{len(self.configs)}")
        if (query.shape[-1] != config.dim or value.shape[-1] != config.value_dim
                or keys > config.max_keys and not config.window):
            raise AccuracyError(f"Attention at {self.name} must be of dim {config.dim}, value_dim "
                                f"{config.value_dim} and at most {config.max_keys} keys, the "
                                f"engine's max_keys, not of {query.shape[-1]}, {value.shape[-1]} "
                                f"and {keys}")
        if config.max_queries and query.shape[-2] > config.max_queries:
            raise AccuracyError(f"Attention at {self.name} must be of at most "
                                f"{config.max_queries} queries, the engine's max_queries, not of "
                                f"{query.shape[-2]}")
        if found.causal is not None and found.causal != config.causal:
            kind = {True: "causal", False: "not causal"}
            raise AccuracyError(f"Attention at {self.name} must be {kind[config.causal]}, as when "
                                f"it was calibrated, not {kind[found.causal]}")
        if found.window == config.window:
            return
        # Fewer keys than the window, or a single query, do not show it.
        shape = torch.Size((1, 1, query.shape[-2], keys))
        own, seen = (dataclasses.replace(found, causal=True, window=window).dead(shape)
                     for window in (config.window, found.window))
        if not torch.equal(*torch.broadcast_tensors(own, seen)):
            raise AccuracyError(f"Attention at {self.name} must have the window of its engine, "
                                f"{config.window or 'none'}, not {found.window or 'none'}")

    def _refuse(self, wrong: bool, wanted: str) -> None:
        if wrong:
            raise AccuracyError(f"Attention at {self.name} must have {wanted}, for an engine; "
                                "softmax= takes its softmax over alone")
