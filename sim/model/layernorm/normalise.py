"""What the integer models of all LayerNorm units share: all but the squares and their root."""

import numpy as np

from rtl.layernorm.config import LENGTH_BITS

__all__ = ["normalise"]

# Elements that are worked on at a time.
CHUNK = 1 << 15


def normalise(config, raw, mask, squares_of, mantissa_of):
    """Run the unit of ``config`` on rows; see :func:`sim.model.run`.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.
    raw : array of integers, shape (..., length)
        Elements as they come.
    mask : None
        LayerNorm takes no mask.
    squares_of : callable
        ``squares_of(raw, value)``: squares of elements, of an array ``raw`` and ``x`` of it.
    mantissa_of : callable
        ``mantissa_of(radicand, place)``: unrounded mantissa of the reciprocal root and its fraction
        bits, from a radicand of at least 1 and the place of its leading one.
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
    negated_mean = config.negated_mean(total, scale)
    radicand = config.radicand(total, squares, negated_mean, length) + scale.epsilon
    radicand = np.maximum(radicand, config.least_radicand)
    place = _place(radicand)
    mantissa = mantissa_of(radicand, place)
    if config.variable:
        root = int(scale.root * (1 << LENGTH_BITS) + 0.5)
        mantissa = np.minimum(mantissa * root + (1 << (LENGTH_BITS - 1)) >> LENGTH_BITS,
                              (2 << config.root_bits) - 1)
    exponent = config.radicand_bits // 2 - 1 - place // 2 + config.exponent_offset(length)
    factor = mantissa << np.minimum(exponent, config.top_exponent)

    # Second pass.
    centred = value << config.mean_bits
    if not config.rms:
        centred += negated_mean[:, None]
    normal = _round_shift(centred * factor[:, None], config.normal_shift)
    shift = config.output_shift
    y = _round_shift(normal * gamma + (beta << (shift - config.beta_fraction_bits)), shift)
    limit = 1 << (config.out_bits - 1)
    return np.clip(y, -limit, limit - 1)


def _round_shift(value, shift):
    """``value / 2**shift``, rounded half up."""
    return value + ((1 << shift) >> 1) >> shift


def _place(values):
    """Place of the leading one of positive integers."""
    place = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
    # A float may have been rounded up to the next power of two.
    return place - ((np.int64(1) << place) > values)


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
