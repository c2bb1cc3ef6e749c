"""Rows of a softmax, as beats: checks, logits and padding that every model starts with."""

from collections.abc import Callable, Mapping

import numpy as np
from amaranth import Shape

from rtl.config import UnitConfig
from rtl.fixed import requantised, signed_range

__all__ = ["for_rows"]

# Elements that are worked on at a time: few enough for the arrays to stay in the cache.
CHUNK = 1 << 15


def for_rows(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None,
             compute: Callable, row: Mapping[str, np.ndarray]) -> np.ndarray:
    """Run ``compute(x, dead)`` on blocks of rows and gather the results.

    ``x`` of shape (..., length) is checked and cut into blocks of shape (rows, beats, lanes), the
    last beat filled up with dead elements. ``dead`` is a boolean array of the same shape, or None
    where every element lives. The results, of that shape too, come back in the shape of ``x``.

    ``row`` has parameters of the rows by name, as ``config.row_fields``, each broadcastable to the
    shape of ``x`` without its last axis. With ``multiplier``, ``shift`` and ``offset`` (0 if not
    given) ``compute`` is given the logits of the accumulators ``x``. With a ``sink``, which takes
    part where ``sink_valid`` (everywhere, if not given), a beat has a lane more for it, whose
    results do not come back.
    """
    x, mask = _check(config, x, mask)
    row = _row(config, x.shape[:-1], row)
    length, lanes = x.shape[-1], config.lanes
    beats = -(-length // lanes)
    padding = beats * lanes - length
    flat = x.reshape(-1, length)
    dead = None if mask is None else mask.reshape(-1, length)
    result = np.empty(flat.shape, np.int32)
    step = max(1, CHUNK // (beats * lanes))
    for start in range(0, len(flat), step):
        rows = flat[start:start + step]
        block = None if dead is None else dead[start:start + step]
        own = {name: values[start:start + step] for name, values in row.items()}
        if config.accumulator_bits:
            rows = requantised(rows.astype(np.int64), own["multiplier"][:, None],
                               own["shift"][:, None], config.bits, own["offset"][:, None])
        if padding:
            if block is None:
                block = np.zeros(rows.shape, bool)
            rows = np.pad(rows, ((0, 0), (0, padding)))
            block = np.pad(block, ((0, 0), (0, padding)), constant_values=True)
        shape = (len(rows), beats, lanes)
        rows, block = rows.reshape(shape), None if block is None else block.reshape(shape)
        if config.sink:
            rows, block = _with_sink(rows, block, own["sink"], own["sink_valid"])
        out = compute(rows, block)[..., :lanes]
        result[start:start + step] = out.reshape(len(rows), -1)[:, :length]
    return result.reshape(x.shape)


def _with_sink(rows, dead, sink, valid):
    """A block with a lane more, which has the sink in the first beat and is dead in the others."""
    shape = (*rows.shape[:-1], rows.shape[-1] + 1)
    wider, hidden = np.zeros(shape, np.int32), np.zeros(shape, bool)
    wider[..., :-1], wider[:, 0, -1] = rows, sink
    if dead is not None:
        hidden[..., :-1] = dead
    hidden[..., -1] = True
    hidden[:, 0, -1] = valid == 0
    return wider, hidden


def _row(config, shape, given):
    """Parameters of the rows, checked, one of each for every row."""
    fields, given = config.row_fields, {name: np.asarray(x) for name, x in given.items()}
    for name in given:
        if name not in fields:
            raise TypeError(f"Rows of this configuration have no {name!r}")
    if "offset" in fields:
        given.setdefault("offset", np.int64(0))
    if "sink_valid" in fields:
        # Rows without a sink need not say what it is.
        given.setdefault("sink_valid", np.int64("sink" in given))
        given.setdefault("sink", np.int64(0))
    row = {}
    for name, field in fields.items():
        if name not in given:
            raise TypeError(f"Rows of this configuration need {name!r}")
        values, field = given[name], Shape.cast(field)
        if values.dtype.kind not in "iub":
            raise TypeError(f"Rows must have integers as {name}, not {values.dtype}")
        low = -(1 << (field.width - 1)) if field.signed else 0
        high = low + (1 << field.width) - 1
        if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
            raise ValueError(f"Rows must have {name} in {low}..{high}, "
                             f"not {int(values.min())}..{int(values.max())}")
        try:
            row[name] = np.broadcast_to(values, shape).astype(np.int64).reshape(-1)
        except ValueError:
            raise ValueError(f"Rows of shape {shape} must have one {name} each, not "
                             f"{values.shape}") from None
    return row


def _elements(config):
    return "Accumulators" if config.accumulator_bits else "Logits"


def _check(config, x, mask):
    if x.dtype.kind not in "iu":
        raise TypeError(f"{_elements(config)} must be integers, not {x.dtype}")
    if x.ndim == 0 or not 1 <= x.shape[-1] <= config.max_length:
        raise ValueError(f"Rows must have 1..{config.max_length} elements, "
                         f"not {x.shape[-1] if x.ndim else 'none'}")
    low, high = signed_range(config.accumulator_bits or config.bits)
    if x.size and not low <= int(x.min()) <= int(x.max()) <= high:
        raise ValueError(f"{_elements(config)} must be in {low}..{high}, "
                         f"not {int(x.min())}..{int(x.max())}")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"Mask must be boolean, not {mask.dtype}")
        try:
            mask = np.broadcast_to(mask, x.shape)
        except ValueError:
            raise ValueError(f"Mask must fit the shape {x.shape}, not {mask.shape}") from None
    return x, mask
