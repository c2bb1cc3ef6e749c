"""Integer models of LayerNorm against float64: the expected figures, rows with names, bad input."""

import dataclasses

import numpy as np
import pytest

import rtl
from sim import model
from sim.accuracy import calibrate
from sim.stimuli import layernorm as layernorm_rows

AI = rtl.unit("layernorm-ai")
Exact = rtl.unit("layernorm-exact")


def data(channels, rows=400, spread=2.0, seed=0):
    """Activations whose channels have scales that spread over 2**-spread to 2**spread."""
    random = np.random.default_rng([channels, seed])
    scale = 2.0 ** random.uniform(-spread, spread, channels)
    return random.normal(0, 1, (rows, channels)) * scale + random.normal(0, 0.5, channels) * scale


def fit(name, inputs, seed=0, **parameters):
    """Config for inputs with gammas around 1 and betas around 0, and the integers of the inputs."""
    random = np.random.default_rng([seed, 1])
    channels = inputs.shape[-1]
    gamma = random.uniform(0.5, 1.5, channels)
    result = calibrate.calibrate(name, inputs, gamma, random.normal(0, 0.3, channels),
                                 output_scale=2.0 ** -5, **parameters)
    return result.config, result.quantise(inputs)


def reference(config, raw):
    """LayerNorm of the integers in float64, with the config's own gammas and betas, in steps."""
    length = raw.shape[-1]
    x = (raw - config.zero_point) * 2.0 ** np.array(config.alphas[:length])
    gamma = np.array(config.gammas[:length]) * 2.0 ** -config.gamma_fraction_bits
    beta = np.array(config.betas[:length]) * 2.0 ** -config.beta_fraction_bits
    return calibrate.normalise(x, gamma, beta, epsilon=config.epsilon, rms=config.rms)


def errors(config, raw):
    """Absolute errors of the outputs, real, but for what saturation takes."""
    limit = 1 << (config.out_bits - 1)
    exact = np.clip(reference(config, raw), -limit, limit - 1)
    return np.abs(model.run(config, raw) - exact) * config.output_scale


def mean_square_error(config, raw):
    """Relative errors of the mean square of each row."""
    x = (raw - config.zero_point) << np.array(config.alphas)
    low = config.raw_range[0]
    squares = np.array([(code << config.flag_shift * flag) ** 2 << 2 * config.low_shift
                        for code, flag in config.codes])[raw - low] << 2 * np.array(config.alphas)
    return squares.sum(-1) / (x * x).sum(-1) - 1


# Expected figures

@pytest.mark.parametrize("channels", [192, 384, 768, 1024])
@pytest.mark.parametrize("compression, bias, mean, output", [
    # Rounding of the code; bounds on the bias and the mean of the error of E[x^2], and on what it
    # adds to the mean error of the output of 8 bits, in real units at a deviation of 1.
    ("half-even", (-0.008, 0.0), 0.017, 0.0025),
    ("half-up", (0.015, 0.03), 0.03, 0.0045),
    ("truncate", (-0.125, -0.08), 0.125, 0.03),
])
def test_compression(channels, compression, bias, mean, output):
    config, raw = fit("layernorm-ai", data(channels), compression=compression)
    error = mean_square_error(config, raw)
    assert bias[0] < error.mean() < bias[1]
    assert np.abs(error).mean() < mean
    floor = np.abs(np.floor(reference(config, raw) + 0.5) - reference(config, raw)).mean()
    assert errors(config, raw).mean() < floor * config.output_scale + output


@pytest.mark.parametrize("channels", [192, 384, 768, 1024])
def test_half_even_deviation(channels):
    """Half-even compression: error of the deviation 0.38 % to 0.75 % on average."""
    config, raw = fit("layernorm-ai", data(channels))
    x = (raw - config.zero_point) * 2.0 ** np.array(config.alphas)
    variance = x.var(-1)
    seen = variance + mean_square_error(config, raw) * np.square(x).mean(-1)
    assert np.abs(np.sqrt(seen / variance) - 1).mean() < 0.0085


@pytest.mark.parametrize("channels", [192, 768])
def test_rounding_alone(channels):
    """The exact unit adds next to nothing to what rounding to 8 bits costs."""
    config, raw = fit("layernorm-exact", data(channels))
    exact = reference(config, raw)
    floor = np.abs(np.floor(exact + 0.5) - exact) * config.output_scale
    assert errors(config, raw).mean() < floor.mean() * 1.005
    # No output is off by more than one step, and that where the exact one is almost half-way.
    assert errors(config, raw).max() < 0.53 * config.output_scale


@pytest.mark.parametrize("name", ["layernorm-ai", "layernorm-exact"])
@pytest.mark.parametrize("channels, peer", [(64, 0.1015), (512, 0.032)])
def test_against_peer(name, channels, peer):
    """int8 input of normal elements with deviation 3, output of 4 fraction bits, as measured.

    The peer is MASE's LayerNorm (mean error 0.1015 and 0.032 for rows of 64 and 512), where correct
    rounding has 0.0156.
    """
    random = np.random.default_rng(channels)
    raw = np.clip(np.round(random.normal(0, 3, (400, channels)) * 8), -128, 127).astype(int)
    config = rtl.unit(name)(channels=channels, signed_input=True, zero_point=0, alpha_bits=0,
                            output_scale=2.0 ** -4)
    exact = reference(config, raw) * config.output_scale
    error = np.abs(model.run(config, raw) * config.output_scale - exact).mean()
    assert error < (0.0180 if name == "layernorm-ai" else 0.0158) < peer


def test_power_of_two_factors_pay():
    """Channels of unlike scales: without factors the error is a multiple."""
    inputs = data(384, spread=3.0)
    figures = {}
    for bits in 0, 2:
        random = np.random.default_rng(5)
        gamma = random.uniform(0.5, 1.5, 384)
        result = calibrate.calibrate("layernorm-ai", inputs, gamma, np.zeros(384), alpha_bits=bits)
        y = model.run(result.config, result.quantise(inputs)) * result.config.output_scale
        figures[bits] = np.abs(y - calibrate.normalise(inputs, gamma, 0.0)).mean()
    assert figures[2] < 0.85 * figures[0]


@pytest.mark.parametrize("name", ["layernorm-ai", "layernorm-exact"])
def test_rms(name):
    config, raw = fit(name, data(384) + 1.0, rms=True)
    exact = reference(config, raw)
    floor = np.abs(np.floor(exact + 0.5) - exact).mean() * config.output_scale
    assert errors(config, raw).mean() < floor + (0.002 if name == "layernorm-ai" else 0.0002)


def test_wide_exact():
    """12 bits in, 16 bits out: five digits."""
    config, raw = fit("layernorm-exact", data(768), bits=12, gamma_bits=16,
                      out_bits=16, beta_bits=16, rsqrt_bits=14)
    config = dataclasses.replace(config, output_scale=2.0 ** -5)
    assert errors(config, raw).max() < 0.51 * config.output_scale


# Rows with names

CONFIGS = [with_name for name in ("layernorm-ai", "layernorm-exact") for with_name in (
    (name, {}), (name, {"zero_point": 0}), (name, {"zero_point": 255}), (name, {"epsilon": 100.0}),
    (name, {"row_length": "variable"}))]


@pytest.mark.parametrize("name, parameters", CONFIGS)
@pytest.mark.parametrize("channels", [1, 2, 192, 384, 768, 1023, 1024])
def test_constant_row_gives_beta(name, parameters, channels):
    config = layernorm_rows.channel_parameters(
        rtl.unit(name)(channels=channels, alpha_bits=0, **parameters),
        np.random.default_rng(channels))
    rows = np.repeat(np.arange(256), channels).reshape(256, channels)
    assert (model.run(config, rows) == np.array(config.betas)).all()


@pytest.mark.parametrize("name", ["layernorm-ai", "layernorm-exact"])
@pytest.mark.parametrize("channels", [192, 384, 768, 1000, 1023, 1024])
def test_constant_row_of_coarse_channels(name, channels):
    """Elements of up to 2040 steps: the reciprocal has the bits that their mean needs."""
    config = layernorm_rows.channel_parameters(rtl.unit(name)(channels=channels, zero_point=0),
                                               np.random.default_rng(channels))
    config = dataclasses.replace(config, alpha=(3,) * channels)
    rows = np.repeat(np.arange(256), channels).reshape(256, channels)
    assert (model.run(config, rows) == np.array(config.betas)).all()


@pytest.mark.parametrize("name, bits", [("layernorm-ai", 10), ("layernorm-exact", 16)])
@pytest.mark.parametrize("parameters", [
    {}, {"alpha_bits": 0}, {"row_length": "variable"}, {"channel_parameters": "loaded"}])
def test_constant_row_at_extreme_scales(name, bits, parameters):
    """The widest elements, the finest mean, outputs as fine as they can be."""
    for channels, zero_point in (683, 0), (2731, 1 << (bits - 1)), (4095, (1 << bits) - 1):
        config = rtl.unit(name)(bits=bits, channels=channels, zero_point=zero_point, out_bits=16,
                                gamma_bits=14, mean_fraction_bits=8, **parameters)
        config = dataclasses.replace(
            config, alpha=((1 << config.alpha_bits) - 1,) * channels,
            gamma=tuple(np.where(np.arange(channels) % 2, (1 << 13) - 1, -1 << 13).tolist()),
            beta=tuple(np.random.default_rng(1).integers(-4096, 4096, channels).tolist()))
        values = np.unique([*config.raw_range, *np.linspace(*config.raw_range, 12).astype(int)])
        lengths = (channels, 341, 3) if config.variable else (channels,)
        for length in lengths:
            rows = np.repeat(values[:, None], length, 1)
            assert (model.run(config, rows) == np.array(config.betas[:length])).all()


@pytest.mark.parametrize("epsilon", [0.0, 2.0 ** 36, 2.0 ** 40, 2.0 ** 64])
@pytest.mark.parametrize("name, bits", [("layernorm-ai", 10), ("layernorm-exact", 16)])
def test_sums_beyond_64_bits(name, bits, epsilon):
    """The largest sums there are, and an epsilon above them: as float64 has it."""
    config = rtl.unit(name)(bits=bits, channels=4096, zero_point=0, alpha=(3,) * 4096,
                            epsilon=epsilon, mean_fraction_bits=8, output_scale=2.0 ** -5)
    low, high = config.raw_range
    place = np.arange(4096)
    rows = np.array([np.where(place % 2, low, high), np.where(place < 1, low, high),
                     low + place * 37 % (high - low + 1), np.full(4096, high)])
    wanted = np.clip(reference(config, rows), -128, 127)
    assert np.abs(model.run(config, rows) - wanted).max() < (6 if name == "layernorm-ai" else 1)


@pytest.mark.parametrize("name", ["layernorm-ai", "layernorm-exact"])
def test_single_outlier(name):
    """One element that is apart from all others is sqrt(L - 1) deviations away."""
    for channels in 17, 192, 768:
        config = rtl.unit(name)(channels=channels, zero_point=0, out_bits=12, gamma_bits=8,
                                output_scale=2.0 ** -5)
        row = np.zeros(channels, int)
        row[channels // 3] = 255
        y = model.run(config, row) * config.output_scale
        far = (channels - 1) ** 0.5
        assert abs(y[channels // 3] / far - 1) < (0.08 if name == "layernorm-ai" else 0.003)
        assert abs(y[0] * far + 1) < (0.08 if name == "layernorm-ai" else 0.003) + far / 60


@pytest.mark.parametrize("name", ["layernorm-ai", "layernorm-exact"])
@pytest.mark.parametrize("channels", [1, 7, 64])
def test_directed_rows_stay_in_range(name, channels):
    config = rtl.unit(name)(channels=channels)
    rows = np.array([row for _, row, _ in layernorm_rows.directed(config)])
    y = model.run(config, rows)
    assert y.min() >= -128 and y.max() <= 127
    if channels > 1:
        # What is larger stays larger, with one gamma for all.
        order = np.argsort(rows, axis=-1, kind="stable")
        assert (np.diff(np.take_along_axis(y, order, -1), axis=-1) >= 0).all()


def test_rows_shorter_than_the_longest():
    """A row of variable length is what a unit of that length makes of it, but for the root."""
    random = np.random.default_rng(3)
    config = rtl.unit("layernorm-exact")(channels=100, row_length="variable")
    for length in 2, 3, 31, 64, 99, 100:
        raw = random.integers(0, 256, (20, length))
        fixed = rtl.unit("layernorm-exact")(channels=length)
        assert np.abs(model.run(config, raw) - model.run(fixed, raw)).max() <= 1


# Bad input

@pytest.mark.parametrize("name", ["layernorm-ai", "layernorm-exact"])
def test_bad_input(name):
    config = rtl.unit(name)(channels=4)
    with pytest.raises(TypeError, match="Elements must be integers, not float64"):
        model.run(config, np.zeros(4))
    with pytest.raises(ValueError, match="Rows must have 4 elements, not 3"):
        model.run(config, np.zeros(3, int))
    with pytest.raises(ValueError, match="Rows must have 4 elements, not none"):
        model.run(config, np.int64(3))
    with pytest.raises(ValueError, match=r"Elements must be in 0..255, not 0..256"):
        model.run(config, np.array([0, 1, 2, 256]))
    with pytest.raises(ValueError, match="Mask must be absent: layernorm-.* takes none"):
        model.run(config, np.zeros(4, int), np.array([True, False, False, False]))
    variable = rtl.unit(name)(channels=4, row_length="variable")
    with pytest.raises(ValueError, match=r"Rows must have 1..4 elements, not 5"):
        model.run(variable, np.zeros(5, int))
    assert (model.run(config, np.zeros(4, int), np.zeros(4, bool)) == 0).all()


def test_shapes():
    config = rtl.unit("layernorm-ai")(channels=6)
    raw = np.random.default_rng(0).integers(0, 256, (2, 3, 6), np.uint8)
    y = model.run(config, raw)
    assert y.shape == raw.shape and y.dtype == np.int32
    assert (y[1, 2] == model.run(config, raw[1, 2])).all()
    assert model.run(config, np.zeros((0, 6), int)).shape == (0, 6)
