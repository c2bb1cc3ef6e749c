"""Integer model of resident sets that come whole: those of a model's layer, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import clip, signed_range

from .. import run as run_unit
from . import online
from .biases import biased
from .products import products
from .resident import Head
from .resident_set import scaled, seen
from .sinks import Sinks

__all__ = ["prefill"]

# Elements of rows that are worked on at a time.
CHUNK = 1 << 16


def prefill(config: UnitConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray,
            mask: np.ndarray | None = None, *, bias: np.ndarray | None = None, start: int = 0,
            heads: Sequence[Head] | None = None) -> np.ndarray:
    """Return the outputs (..., queries, value_dim) of sets that come whole, with all of their keys.

    ``k`` has the shape (..., keys, dim), ``v`` (..., keys, value_dim), ``mask`` (..., keys) and
    ``bias`` (..., queries, keys); the queries are at the positions from ``start`` on. With
    ``heads`` these are the numbers of the sets, in turn. All sets have the same rows, and are
    computed side by side.
    """
    regions, (queries, keys) = config.regions, (q.shape[-2], k.shape[-2])
    regions = dataclasses.replace(regions, sets=1, capacity=regions.sink_keys
                                  + -(-keys // regions.lanes) * regions.lanes)
    shape = (*q.shape[:-1], config.value_dim)
    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
    mask = np.zeros(k.shape[:2], bool) if mask is None else mask.reshape(-1, keys)
    bias = None if bias is None else bias.reshape(-1, queries, keys)
    numbers = heads or [Head.of(config)]
    numbers = [numbers[number % len(numbers)] for number in range(len(q))]
    rules = [_Rules.of([getattr(head, name) for head in numbers]) for name in ("logit", "output")]
    sinks = Sinks.of([head.sink for head in numbers])
    position, visible = seen(regions, keys, start + np.arange(queries))
    position, visible = position[:, :regions.row_keys], visible[:, :regions.row_keys]
    result = np.empty((len(q), queries, config.value_dim), np.int32)
    step = max(1, min(CHUNK // max(keys, position.shape[1]), queries))
    some = max(1, CHUNK // (max(keys, position.shape[1]) * step))
    for number in range(0, len(q), some):
        sets = slice(number, number + some)
        own = *(rule[sets] for rule in rules), None if sinks is None else sinks[sets]
        for first in range(0, queries, step):
            part = slice(first, first + step)
            result[sets, part] = _rows(config, *own, q[sets, part], k[sets], v[sets],
                                       mask[sets], None if bias is None else bias[sets, part],
                                       position[part], visible[part])
    return result.reshape(shape)


@dataclasses.dataclass(frozen=True, eq=False)
class _Rules:
    """Multipliers, shifts and offsets of sets, each (sets, 1, 1), as of a :class:`Scaling`."""

    multiplier: np.ndarray
    shift: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, rules):
        each = np.array([(rule.multiplier, rule.shift, getattr(rule, "offset", 0))
                         for rule in rules], np.int64).reshape(-1, 3)
        return cls(*each.T[..., None, None])

    def __getitem__(self, some):
        return _Rules(self.multiplier[some], self.shift[some], self.offset[some])


def _rows(config, logit, output, sink, q, k, v, mask, bias, position, visible):
    """Outputs (sets, queries, value_dim) of queries whose rows hold the keys at ``position``."""
    low, high = config.dot_range
    sets, queries = q.shape[:2]
    dots = products(q, k.swapaxes(1, 2), max(-low, high))
    x = scaled(logit, np.take_along_axis(dots, position[None], axis=2), config.logit_bits)
    hidden = ~visible | mask[:, position]
    if bias is not None:
        own = np.take_along_axis(bias, position[None], axis=2)
        x, hidden = biased(config, x, hidden, own)
    if config.datapath == "online":
        # A set of its own for each query: the rows begin at words of their own.
        own, width = sets * queries, position.shape[1]
        of_set = np.repeat(np.arange(sets), queries)
        y = online.outputs(config.online, x.reshape(own, 1, width), hidden.reshape(own, 1, width),
                           v.astype(np.int64)[:, position].reshape(own, width, -1),
                           output[of_set], None if sink is None else sink[of_set])
        return y.reshape(sets, queries, -1)
    w = run_unit(config.softmax_config, x.astype(np.int16), hidden,
                 **({} if sink is None else sink.rows((sets, queries))))
    # Elements that are no key's go behind the last one.
    spread = np.zeros((sets, queries, k.shape[1] + 1), np.int64)
    np.put_along_axis(spread, np.where(visible, position, k.shape[1])[None], w, axis=2)
    spread = spread[..., :-1]
    most = int(spread.sum(axis=2).max(initial=0)) * -config.element_range[0]
    sums = products(spread, v, most)
    if config.run_time:
        sums = clip(sums, *signed_range(config.sum_window))
    return scaled(output, sums, config.out_bits)
