"""What the integer models of all LayerNorm units share: all but squares and reciprocal root."""

from collections.abc import Callable

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import clip, round_shift, signed_range

__all__ = ["normalise"]

# Elements that are worked on at a time.
CHUNK = 1 << 15

# Magnitude bits of an int64.
INT_BITS = 63

# Leading bits of a radicand that its root is made from, at least.
LEADING_BITS = 40


def normalise(config: UnitConfig, raw: np.ndarray, mask: np.ndarray | None, squares_of: Callable,
              mantissa_of: Callable) -> np.ndarray:
    """Run the unit of ``config`` on rows: ``y = round(gamma * (x - mu) * r + beta)``, saturated.

    ``x = (raw - zero_point) << alpha``; ``mu`` is the mean of a row (0 for RMSNorm), ``r`` one over
    its standard deviation. :class:`rtl.layernorm.config.LayerNormConfig` says more.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.
    raw : array of integers, shape (..., length)
        Elements as they come, in ``config.raw_range``.
    mask : None, or array of booleans without a true one
        LayerNorm takes no mask.
    squares_of : callable
        ``squares_of(raw, value)``: what each element adds to the sum of squares, an int64 array of
        shape (rows, length), from the raw elements and ``x``, int64 arrays of that shape.
    mantissa_of : callable
        ``mantissa_of(radicand, place)``: mantissa of the reciprocal root with ``config.root_bits``
        fraction bits, from radicands of at least 1 and the place of the leading one of each, int64
        arrays of shape (rows,).

    Returns
    -------
    array of int32, shape of ``raw``
        Outputs, each worth ``config.output_scale``.

    Raises
    ------
    TypeError, ValueError
        If ``raw`` is not integer, is out of range or has rows of a wrong length, or an element is
        masked.
    """
    _check(config, raw, mask)
    length = raw.shape[-1]
    flat = raw.reshape(-1, length)
    result = np.empty(flat.shape, np.int32)
    step = max(1, CHUNK // length)
    for start in range(0, len(flat), step):
        block = flat[start:start + step].astype(np.int64)
        result[start:start + step] = _rows(config, block, squares_of, mantissa_of)
    return result.reshape(raw.shape)


def _rows(config, raw, squares_of, mantissa_of):
    length = raw.shape[-1]
    scale = config.scales[length]
    alpha, gamma, beta = (np.array(values[:length], np.int64)
                          for values in (config.alphas, config.gammas, config.betas))
    value = raw - config.zero_point << alpha

    # First pass: mean and reciprocal of the deviation.
    total = value.sum(-1)
    squares = squares_of(raw, value).sum(-1)
    if _exceeds_int64(config):
        total, squares = total.astype(object), squares.astype(object)
    negated_mean = config.negated_mean(total, scale)
    radicand = config.radicand(total, squares, negated_mean, length) + scale.epsilon
    radicand, place = _leading_bits(np.maximum(radicand, config.least_radicand))
    mantissa = mantissa_of(radicand, np.minimum(place, LEADING_BITS + (place & 1)))
    if config.variable:
        mantissa = np.minimum(round_shift(mantissa * scale.root_word, config.length_bits),
                              (2 << config.root_bits) - 1)
    exponent = config.radicand_bits // 2 - 1 - place // 2 + config.exponent_offset(length)
    factor = mantissa << np.minimum(exponent, config.top_exponent)

    # Second pass.
    centred = value << config.mean_bits
    if not config.rms:
        centred += negated_mean[:, None].astype(np.int64)
    normal = round_shift(centred * factor[:, None], config.normal_shift)
    shift = config.output_shift
    y = round_shift(normal * gamma + (beta << (shift - config.beta_fraction_bits)), shift)
    return clip(y, *signed_range(config.out_bits))


def _exceeds_int64(config):
    """Whether what is made of the sums of a row can be too large for an int64.

    It is a value a row, so that Python's own integers cost little.
    """
    mean = config.total_shape.width + config.reciprocal_bits + 2
    # An epsilon for itself, and the product of the squares that a square is subtracted from.
    return max(config.radicand_shape.width + 1, mean) > INT_BITS


def _leading_bits(values):
    """Leading bits of positive integers, and the place of the leading one of each.

    Values are shifted to the right, by an even number of places, until the leading one is at
    ``LEADING_BITS`` or one place above.
    """
    if values.dtype == object:
        place = np.array([value.bit_length() - 1 for value in values.tolist()], np.int64)
    else:
        place = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
        # A float may have been rounded up to the next power of two.
        place -= (np.int64(1) << place) > values
    return (values >> (np.maximum(place - LEADING_BITS, 0) & ~1)).astype(np.int64), place


def _check(config, raw, mask):
    if mask is not None and np.any(mask):
        raise ValueError(f"Mask must be absent: {config.UNIT} takes none")
    if raw.dtype.kind not in "iu":
        raise TypeError(f"Elements must be integers, not {raw.dtype}")
    least, most = config.least_length, config.max_length
    if raw.ndim == 0 or not least <= raw.shape[-1] <= most:
        allowed = f"{most}" if least == most else f"{least}..{most}"
        raise ValueError(f"Rows must have {allowed} elements, "
                         f"not {raw.shape[-1] if raw.ndim else 'none'}")
    low, high = config.raw_range
    if raw.size and not low <= int(raw.min()) <= int(raw.max()) <= high:
        raise ValueError(f"Elements must be in {low}..{high}, "
                         f"not {int(raw.min())}..{int(raw.max())}")
