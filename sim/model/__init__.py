"""Integer models: what the hardware computes, bit for bit, from the same configuration.

The model of the unit ``softmax-e2`` is the function ``run`` of ``sim.model.softmax.e2``, and so on;
nothing needs to be registered.
"""

import importlib

import numpy as np

from rtl import UnitConfig

__all__ = ["run"]


def run(config: UnitConfig, x: np.ndarray, *arrays: np.ndarray, **options: object) -> np.ndarray:
    """Compute what the unit of ``config`` puts out.

    The softmax and LayerNorm units are called as ``run(config, x, mask=None)``, described below.
    What else a unit takes is said by the function ``run`` of its own model, which is given all
    arguments: ``run(config, q, k, v, mask=None)`` for ``attention`` (:mod:`sim.model.attention`).

    Parameters
    ----------
    config : UnitConfig
        The configuration that the hardware is made from.
    x : array of integers, shape (..., length)
        Rows on the last axis, ``1 <= length <= config.max_length``.
    mask : array of booleans, broadcastable to ``x``
        True: the element takes no part, and its output is 0.
    multiplier, shift, offset : array of integers, broadcastable to the shape of ``x`` less its
        last axis. Of a softmax unit with ``accumulator_bits``: what makes logits of ``x``, row by
        row (:func:`rtl.fixed.requantised`); an offset that is not given is 0.
    sink, sink_valid : array of integers, broadcastable to the shape of ``x`` less its last axis
        Of a softmax unit with a ``sink``: each row's sink logit, and whether it has one; all have
        one if only ``sink`` is given, and none if neither is.

    Returns
    -------
    array of int32, shape of ``x``
        Outputs, each worth ``config.output_scale``.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not integer, is out of the range of ``config.bits``, has rows of a length the
        unit does not take, or the mask does not fit it.
    """
    if not isinstance(config, UnitConfig):
        raise TypeError(f"Configuration must be a UnitConfig, not {config!r}")
    module = importlib.import_module(f".{config.UNIT.replace('-', '.')}", __name__)
    return module.run(config, np.asarray(x), *arrays, **options)
