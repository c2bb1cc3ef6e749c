"""Integer model of the attention engine (:mod:`rtl.attention`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import Requantiser, Scaling, clip, requantised, signed_range

from .. import run as run_unit
from . import online, resident, reuse
from .biases import biased, checked
from .places import places
from .prefill import prefill
from .products import products
from .selection import kept, logits, selected
from .sinks import Sinks

__all__ = ["SCALES", "run", "run_heads", "weights"]

#: Scales that the heads of a layer may have of their own.
SCALES = ("query_scale", "key_scale", "value_scale", "output_scale")

# Dot products that are worked on at a time: few enough for the arrays to stay in the cache. A
# greedy search has more work for each block of queries.
CHUNK = 1 << 16
GREEDY_CHUNK = 1 << 19


def run(config: UnitConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray,
        mask: np.ndarray | None = None, *, bias: np.ndarray | None = None, start: int = 0,
        iterations: int | None = None, distance: int | None = None,
        parameters: object = None) -> np.ndarray:
    """Compute the outputs of queries.

    Parameters
    ----------
    config : AttentionConfig
        Configuration. Of an engine with resident sets these are the outputs for sets large enough
        to hold all keys; :mod:`sim.model.attention.resident` has the commands.
    q : array of integers, shape (..., queries, dim)
        Queries, ``config.max_queries`` at most, unless that is 0; a set's are in the order in which
        they come, which counts if ``config.causal``.
    k, v : arrays of integers, shapes (..., keys, dim) and (..., keys, value_dim)
        Keys and values, ``1 <= keys <= config.max_keys``; leading axes as those of ``q``.
    mask : array of booleans, broadcastable to (..., keys)
        True: the key takes no part.
    bias : array of integers, broadcastable to (..., queries, keys)
        With ``config.bias`` "add" what is added to the logit of each key, in logit steps, or the
        least integer of ``bias_bits`` for one that takes no part for this query; with "mask" 1, or
        true, for that. None: 0 for all.
    start : int
        Number of the first query in its set, which counts if ``config.causal``: the outputs are
        those of the last queries of longer sets.
    iterations, distance : int
        With ``config.select`` "greedy", what the inputs of these names were set to; by default
        what they are after reset.
    parameters : SetParameters, or sequence of SetParameters
        With ``config.scales`` "run-time", the scales of all sets, or of each in the order of the
        leading axes; by default ``config.set_parameters``.

    Returns
    -------
    array of int32, shape (..., queries, value_dim)
        Outputs, each worth ``config.output_scale``.

    Raises
    ------
    TypeError, ValueError
        If an array is not of integers (of booleans), out of the range of ``config.bits``, or of a
        shape that does not fit, or if there are not as many parameters as sets.
    """
    q, k, v, mask = _check(config, q, k, v, mask)
    bias = checked(config, bias, (*q.shape[:-1], k.shape[-2]))
    if parameters is not None and not config.run_time:
        raise ValueError('Parameters of sets need scales "run-time"')
    if config.store == "resident":
        given = parameters or config.set_parameters if config.run_time else ()
        numbers = [resident.Head(one.logit, one.output, one.sink) for one in
                   (given if isinstance(given, Sequence) else [given])]
        return prefill(config, q, k, v, mask, bias=bias, start=start, heads=numbers)
    if config.run_time:
        return _run(config, *_given(config, parameters, math.prod(q.shape[:-2])), q, k, v, mask,
                    bias, start=start)
    limits = {name: value for name, value in (("iterations", iterations), ("distance", distance))
              if value is not None}
    return _run(config, config.logit, None if config.reuse else config.output,
                Sinks.fixed(config), limits, q, k, v, mask, bias, start=start)


def run_heads(configs: Sequence[UnitConfig], q: np.ndarray, k: np.ndarray, v: np.ndarray,
              mask: np.ndarray | None = None, *, bias: np.ndarray | None = None,
              start: int = 0) -> np.ndarray:
    """Compute the outputs of heads of one layer, each with scales of its own.

    Parameters
    ----------
    configs : sequence of AttentionConfig
        Configuration of each head; they differ in the scales of queries, keys, values and outputs
        only.
    q, k, v, mask, bias, start
        As of :func:`run`, with the heads on the third axis from the end: (..., heads, queries,
        dim), (..., heads, keys, dim or value_dim), (..., heads, keys) and (..., heads, queries,
        keys).

    Raises
    ------
    TypeError, ValueError
        As of :func:`run`, and if the configurations differ in something else.
    """
    first = configs[0]
    alike = {dataclasses.replace(config, **{name: getattr(first, name) for name in SCALES})
             for config in configs}
    values = {(config.value_scale, config.output_scale) for config in configs}
    if alike != {first} or (first.reuse and len(values) > 1):
        raise ValueError("Configurations of heads must differ in their scales only, and for reuse "
                         "in those of queries and keys")
    q, k, v, mask = _check(first, q, k, v, mask)
    if q.ndim < 3 or q.shape[-3] != len(configs):
        raise ValueError(f"Queries must have the shape (..., {len(configs)}, queries, dim), "
                         f"not {q.shape}")
    bias = checked(first, bias, (*q.shape[:-1], k.shape[-2]))
    if first.store == "resident":
        numbers = [resident.Head.of(config) for config in configs]
        return prefill(first, q, k, v, mask, bias=bias, start=start, heads=numbers)
    batches = math.prod(q.shape[:-3])
    logit = Requantisers.of([config.logit for config in configs] * batches, first.logit_bits)
    output = None if first.reuse else Requantisers.of([config.output for config in configs]
                                                      * batches, first.out_bits)
    return _run(first, logit, output, Sinks.fixed(first), {}, q, k, v, mask, bias, start=start)


def _given(config, parameters, sets):
    """Requantisers of logits and outputs of so many sets, their sinks and their limits."""
    parameters = config.set_parameters if parameters is None else parameters
    each = list(parameters) if isinstance(parameters, Sequence) else [parameters] * sets
    if len(each) != sets:
        raise ValueError(f"Parameters must be of {sets} sets, not of {len(each)}")
    limits = np.array([one.limits for one in each], np.int64).reshape(sets, len(config.limits))
    return (Requantisers.of([one.logit for one in each], config.logit_bits),
            Requantisers.of([one.output for one in each], config.out_bits),
            Sinks.of([one.sink for one in each]),
            dict(zip(config.limits, limits.T[..., None, None], strict=True)))


def _run(config, logit, output, sink, limits, q, k, v, mask, bias, *, start):
    """Outputs, with requantisers, sinks and limits of all sets or of each."""
    shape, queries, keys = q.shape, q.shape[-2], k.shape[-2]
    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
    mask = None if mask is None else mask.reshape(-1, keys)
    bias = None if bias is None else bias.reshape(-1, queries, keys)
    result = np.empty((*q.shape[:-1], config.value_dim), np.int32)
    chunk = GREEDY_CHUNK if config.select == "greedy" else CHUNK
    # Some sets at a time, or some queries of one.
    step = min(max(1, chunk // keys), queries) or 1
    sets = max(1, chunk // (keys * step)) if step == queries else 1
    for number in range(0, len(q), sets):
        some = slice(number, number + sets)
        hidden = None if mask is None else mask[some]
        for first in range(0, queries, step):
            part = some, slice(first, first + step)
            x, gone, place = _logits(config, q[part], k[some], hidden, _of(logit, some),
                                     start=start + first,
                                     **{name: _of(limit, some) for name, limit in limits.items()})
            x, gone = biased(config, x, gone, None if bias is None else bias[part])
            own = None if sink is None else sink[some]
            if config.datapath == "online":
                result[part] = online.outputs(config.online, x, gone, v[some], _of(output, some),
                                              own, place)
                continue
            w = _weights(config, x, gone, place, own)
            if config.reuse:
                result[part] = reuse.weighted(config, w, v[some])
            else:
                sums = weighted_sums(config, w, v[some])
                if config.run_time:
                    sums = clip(sums, *signed_range(config.sum_window))
                result[part] = _of(output, some)(sums)
    return result.reshape(*shape[:-1], config.value_dim)


def _of(requantiser, some):
    return requantiser[some] if isinstance(requantiser, Requantisers | np.ndarray) else requantiser


@dataclasses.dataclass(frozen=True, eq=False)
class Requantisers:
    """Requantisers of sets, each as :class:`rtl.fixed.Requantiser` or :class:`rtl.fixed.Scaling`.

    Attributes
    ----------
    multiplier, shift, offset : int64 arrays, shape (sets, 1, 1)
        Of each set.
    bits : int
        Width of the results, signed.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    offset: np.ndarray
    bits: int

    @classmethod
    def of(cls, requantisers: Sequence[Requantiser | Scaling], bits: int) -> Requantisers:
        """Return those of some sets."""
        values = np.array([(each.multiplier, each.shift, getattr(each, "offset", 0))
                           for each in requantisers], np.int64).reshape(-1, 3)
        return cls(*values.T[..., None, None], bits)

    def __getitem__(self, some: slice) -> Requantisers:
        return dataclasses.replace(self, multiplier=self.multiplier[some], shift=self.shift[some],
                                   offset=self.offset[some])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Requantise an int64 array (sets, rows, columns)."""
        return requantised(x, self.multiplier, self.shift, self.bits, self.offset)


def weighted_sums(config: UnitConfig, w: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the sums of values (..., keys, value_dim) by weights (..., queries, keys), exactly."""
    largest = int(w.sum(axis=-1, dtype=np.int64).max(initial=0))
    return products(w, v, largest * -config.element_range[0])


def weights(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
            start: int = 0, logit: Callable | None = None,
            limits: Mapping[str, object] | None = None) -> np.ndarray:
    """Return the weights of the keys: (..., queries, keys), as of :func:`kept`.

    Each is worth ``config.softmax_config.output_scale``. With ``config.reuse`` they are the codes
    of the map, which add up to anything. A sink is that of the configuration. ``logit`` takes the
    place of ``config.logit``, and ``limits`` are those of :func:`kept`.
    """
    return _weights(config, *_logits(config, q, k, mask, logit, start=start, **(limits or {})),
                    Sinks.fixed(config))


def _logits(config, q, k, mask, logit, **options):
    """Logits, which keys have no weight (None, if all have one), and the places of selected ones.

    Places are None where the keys of a row are in their order, a word a beat.
    """
    # Logits have no more than 16 bits.
    x = logits(config, q, k, logit).astype(np.int16)
    if config.select == "none":
        if config.causal:
            return x, ~kept(config, q, k, mask, x=x, **options), None
        return x, None if mask is None else np.broadcast_to(mask[..., None, :], x.shape), None
    met, live = selected(config, q, k, mask, x=x, **options)
    return x, ~live, places(config.lanes, met, live)


def _weights(config, x, hidden, place, sink):
    """Weights of logits (..., keys)."""
    if config.reuse:
        return reuse.codes(config, x, np.zeros(x.shape, bool) if hidden is None else hidden)
    row = {} if sink is None else sink.rows(x.shape[:-1])
    if config.select == "none":
        return run_unit(config.softmax_config, x, *(() if hidden is None else (hidden,)), **row)
    flat = (-1, x.shape[-1])
    row = {name: values.reshape(-1) for name, values in row.items()}
    return _weights_of_kept(config, x.reshape(flat), ~hidden.reshape(flat), place.reshape(flat),
                            row).reshape(x.shape)


def _weights_of_kept(config, x, live, place, own):
    """Weights of rows (rows, keys): the softmax is given the ``live`` keys alone, at their places.

    A masked element takes a beat, which some units' sums show.
    """
    row, key = np.nonzero(live)
    place = place[row, key]
    shape = (len(x), place.max(initial=0) + 1)
    short, absent = np.zeros(shape, x.dtype), np.ones(shape, bool)
    short[row, place], absent[row, place] = x[row, key], False
    y = run_unit(config.softmax_config, short, absent, **own)
    w = np.zeros(x.shape, np.int32)
    w[row, key] = y[row, place]
    return w


def _check(config, q, k, v, mask):
    low, high = config.element_range
    q, k, v = map(np.asarray, (q, k, v))
    for name, x, dim in (("Queries", q, config.dim), ("Keys", k, config.dim),
                         ("Values", v, config.value_dim)):
        if x.dtype.kind not in "iu":
            raise TypeError(f"{name} must be integers, not {x.dtype}")
        if x.ndim < 2 or x.shape[-1] != dim:
            raise ValueError(f"{name} must have the shape (..., {dim}), not {x.shape}")
        if x.size and not low <= int(x.min()) <= int(x.max()) <= high:
            raise ValueError(f"{name} must be in {low}..{high}, "
                             f"not {int(x.min())}..{int(x.max())}")
    if k.shape[:-1] != v.shape[:-1]:
        raise ValueError(f"Values must have the shape {(*k.shape[:-1], config.value_dim)}, as the "
                         f"keys, not {v.shape}")
    # A ring holds what a window sees of any number of keys.
    ring = config.store == "resident" and config.window
    if not 1 <= k.shape[-2] <= (k.shape[-2] if ring else config.max_keys):
        raise ValueError(f"Keys must be 1..{config.max_keys}, not {k.shape[-2]}")
    if config.max_queries and q.shape[-2] > config.max_queries:
        raise ValueError(f"Queries must be at most {config.max_queries}, not {q.shape[-2]}")
    if q.shape[:-2] != k.shape[:-2]:
        raise ValueError(f"Leading axes of the queries must be those of the keys {k.shape[:-2]}, "
                         f"not {q.shape[:-2]}")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"Mask must be boolean, not {mask.dtype}")
        try:
            mask = np.broadcast_to(mask, k.shape[:-1])
        except ValueError:
            raise ValueError(f"Mask must fit the shape {k.shape[:-1]}, not {mask.shape}") from None
    return q, k, v, mask
