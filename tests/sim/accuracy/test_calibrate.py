"""Calibration of LayerNorm units, on synthetic tensors and on activations of a real model."""


import warnings

import numpy as np
import pytest

from sim import model
from sim.accuracy.calibrate import calibrate, input_factors, normalise, output_scale, quantise_input
from sim.data import captured, sample

SAMPLE = sample("layernorm")


@pytest.fixture(scope="module")
def norms():
    return captured.load_norms(SAMPLE)


def error(result, norm):
    """Mean error of the outputs, over the deviation of the outputs."""
    y = model.run(result.config, result.quantise(norm.inputs)) * result.config.output_scale
    exact = norm.outputs()
    return np.abs(y - exact).mean() / exact.std()


# Input

def test_factors_span_the_tensor():
    inputs = np.array([[-3.0, 25 / 255, 256 / 255], [5.0, -25 / 255, -256 / 255]])
    scale, zero_point, alpha = input_factors(inputs, (0, 255), 2, head_room=0.0)
    # The zero point is between that of the whole range and the middle.
    assert 8 / 255 <= scale * 8 <= 10 / 255
    assert round(3 * 255 / 8) <= zero_point <= 128
    # Each channel takes the finest factor that holds it.
    assert alpha == (3, 0, 1)
    codes = quantise_input(inputs, scale, zero_point, alpha, (0, 255))
    assert codes.min() >= 0 and codes.max() <= 255
    real = (codes - zero_point) * 2.0 ** np.array(alpha) * scale
    assert (np.abs(real - inputs) <= 0.5001 * scale * 2.0 ** np.array(alpha)).all()


def test_factors_have_the_least_error():
    random = np.random.default_rng(0)
    inputs = random.normal(0, 2.0 ** random.uniform(-3, 3, 50), (200, 50))
    scale, zero_point, alpha = input_factors(inputs, (-128, 127), 2, head_room=0.0)

    def squares(factors):
        codes = quantise_input(inputs, scale, zero_point, factors, (-128, 127))
        real = (codes - zero_point) * 2.0 ** np.asarray(factors) * scale
        return np.square(real - inputs).sum(axis=0)

    best = squares(alpha)
    for factor in range(4):
        assert (best <= squares(np.full(50, factor))).all()
    assert set(alpha) == {0, 1, 2, 3}


def test_no_factors():
    scale, zero_point, alpha = input_factors(np.array([[1.0, 4.0]]), (0, 255), 0, head_room=0.0)
    assert (zero_point, alpha) == (0, (0, 0))
    assert np.isclose(scale, 4 / 255)


def test_zeros():
    scale, zero_point, alpha = input_factors(np.zeros((3, 2)), (0, 255), 2)
    assert scale > 0 and zero_point == 0 and alpha == (0, 0)


def test_quantise_rounds_half_up_and_saturates():
    codes = quantise_input(np.array([0.5, -0.5, 1.5, 99.0, -99.0]), 1.0, 3, 0, (0, 7))
    assert codes.tolist() == [4, 3, 5, 7, 0]


# Output

def test_output_scale():
    uniform = np.linspace(-1, 1, 10_001)
    assert abs(output_scale(uniform, 8) * 127 - 1) < 0.01
    # One far element is clipped, rather than that all others become coarse.
    peaked = np.concatenate([np.random.default_rng(0).normal(0, 1, 100_000), [100.0]])
    assert 60 < output_scale(peaked, 8) * 127 < 70
    assert output_scale(np.zeros(3), 8) > 0


@pytest.mark.parametrize("method, largest", [("largest", 100.0), ("percentile", 2.0)])
def test_output_scale_by_method(method, largest):
    outputs = np.linspace(0, 2, 2000)[:, None] * [1, -0.5]
    outputs[7] = 100.0
    steps = output_scale(outputs, 8, axis=0, method=method, percentile=99.9)
    assert np.allclose(steps * 127, [largest, largest if method == "largest" else 1.0], rtol=0.01)
    assert output_scale(outputs, 8, method=method) == pytest.approx(steps[0], rel=0.01)


def test_steps_that_are_given():
    """They are taken as they are: what a calibration has found gives the same unit again."""
    gamma, beta = weights()
    first = calibrate("layernorm-exact", tokens(300), gamma, beta, output_step="channel")
    again = calibrate("layernorm-exact", tokens(300), gamma, beta,
                      output_step=first.output_scales)
    assert again.config == first.config and (again.output_scales == first.output_scales).all()


def test_weights():
    random = np.random.default_rng(0)
    inputs = random.normal(0, 1, (300, 16))
    gamma, beta = random.uniform(0.5, 2.0, 16), random.normal(0, 0.5, 16)
    config = calibrate("layernorm-exact", inputs, gamma, beta).config
    real = np.array(config.gammas) * config.output_scale * 2.0 ** -config.gamma_fraction_bits
    assert np.abs(real - gamma).max() <= 0.5001 * config.output_scale \
        * 2.0 ** -config.gamma_fraction_bits
    assert max(config.gammas) > 255
    real = np.array(config.betas) * config.output_scale * 2.0 ** -config.beta_fraction_bits
    assert np.abs(real - beta).max() <= 0.5001 * config.output_scale \
        * 2.0 ** -config.beta_fraction_bits


def test_parameters_are_passed_on():
    inputs = np.random.default_rng(0).normal(0, 1, (300, 6))
    config = calibrate("layernorm-ai", inputs, np.ones(6), lanes=3, bits=6, preset="rms",
                       epsilon=0.01, output_scale=0.25).config
    assert (config.lanes, config.bits, config.rms, config.output_scale) == (3, 6, True, 0.25)
    assert config.channels == 6 and config.beta == ()
    scale = input_factors(inputs, (0, 63), 2)[0]
    assert np.isclose(config.epsilon, 0.01 / scale ** 2)


def test_epsilon_of_the_model():
    """A row of hardly any variance is not blown up."""
    inputs = np.concatenate([np.random.default_rng(0).normal(0, 1, (300, 64)),
                             np.full((1, 64), 0.5) + 1e-3 * np.arange(64) % 2])
    result = calibrate("layernorm-exact", inputs, np.ones(64), np.zeros(64), epsilon=0.05)
    raw = result.quantise(inputs[-1])
    y = model.run(result.config, raw) * result.config.output_scale
    exact = normalise(result.dequantise(raw), 1.0, 0.0, epsilon=0.05)
    assert np.abs(exact).max() < 0.2
    assert np.abs(y - exact).max() < 0.52 * result.config.output_scale


@pytest.mark.parametrize("inputs, gamma, beta, message", [
    (np.zeros((0, 3)), np.ones(3), None, "Inputs must be at least one row of channels"),
    (1.0, np.ones(3), None, "Inputs must be at least one row of channels"),
    ([[1.0, "a"]], np.ones(2), None, "Array inputs must hold numbers, not"),
    (np.ones((2, 3)), {}, None, "Array gamma must hold numbers, not {}"),
    (np.ones((2, 3)), np.ones(4), None, r"Array gamma must be of shape \(3,\), not \(4,\)"),
    (np.ones((2, 3)), np.ones(3), np.ones((3, 1)), r"Array beta must be of shape \(3,\), not"),
    (np.full((2, 3), np.nan), np.ones(3), None, "Array inputs must hold finite numbers only"),
    (np.ones((2, 3)), np.array([1, np.inf, 1]), None, "Array gamma must hold finite numbers"),
])
def test_wrong_arrays(inputs, gamma, beta, message):
    with pytest.raises(ValueError, match=message):
        calibrate("layernorm-ai", inputs, gamma, beta)


# Parameters

@pytest.mark.parametrize("parameters, message", [
    ({"bitz": 4}, "Parameter 'bitz' of calibrate does not exist; did you mean 'bits'"),
    ({"head_rom": 4}, "'head_rom' of calibrate does not exist; did you mean 'head_room'"),
    ({"name": "layernorm-axact"}, "Unit 'layernorm-axact' does not exist"),
    ({"name": "softmax-e2"}, "Unit must be a LayerNorm, not 'softmax-e2'"),
    ({"zero_point": 3}, "Parameter zero_point must be left to the calibration"),
    ({"preset": "papr"}, "Preset 'papr' of layernorm-ai does not exist; did you mean 'paper'"),
    ({"output_step": "row"}, "output_step must be one of common, channel, not 'row'"),
    ({"output_step": "channel", "output_scale": 0.1}, "Parameter output_scale must be absent"),
    ({"output_step": np.ones(4)}, "Parameter output_step must be 3 positive steps, not"),
    ({"output_step": np.zeros(3)}, "Parameter output_step must be 3 positive steps, not"),
    ({"method": "most"}, "method must be one of largest, percentile, least-squares, not 'most'"),
    ({"percentile": 49.0}, "Parameter percentile must be in 50..100, not 49.0"),
    ({"epsilon": "1"}, "Parameter epsilon must be a number of at least 0, not '1'"),
    ({"head_room": -1}, "Parameter head_room must be a number of at least 0, not -1"),
    ({"bits": 17}, "Parameter bits must be an integer in 2..10, not 17"),
])
def test_wrong_parameters(parameters, message):
    parameters = {"name": "layernorm-ai", **parameters}
    with pytest.raises(ValueError, match=message):
        calibrate(parameters.pop("name"), np.ones((2, 3)), np.ones(3), **parameters)


def test_widths_follow_the_output():
    inputs = np.random.default_rng(0).normal(0, 1, (300, 8))
    for bits in 4, 8, 12, 16:
        config = calibrate("layernorm-exact", inputs, np.ones(8), out_bits=bits).config
        assert (config.gamma_bits, config.beta_bits) == (min(bits + 2, 16), bits + 4)
        loaded = calibrate("layernorm-exact", inputs, np.ones(8), out_bits=bits,
                           channel_parameters="loaded").config
        assert loaded.load_layout.element.width <= 32 and loaded.gamma_bits <= config.gamma_bits


# Tokens that were not seen

def tokens(count, channels=96, seed=0):
    """Inputs of heavy tails; the last channel has one sign and far more magnitude."""
    random = np.random.default_rng(seed)
    inputs = random.standard_t(5, (count, channels)) * 2.0 ** (np.arange(channels) % 3 - 1)
    inputs[:, -1] = 400 - 100 * random.random(count)
    return inputs


def weights(channels=96):
    random = np.random.default_rng(9)
    return 2.0 ** random.uniform(-3, 1, channels), random.normal(0, 0.2, channels)


@pytest.mark.parametrize("parameters, bound", [
    ({}, 0.04), ({"output_step": "channel"}, 0.03),
    ({"output_step": "channel", "bits": 10}, 0.012)])
def test_held_out(parameters, bound):
    """The error on tokens that were not seen, in parts of the deviation of the outputs."""
    gamma, beta = weights()
    result = calibrate("layernorm-exact", tokens(1000), gamma, beta, **parameters)
    others = tokens(400, seed=1)
    assert result.config.alpha_bits == 3 and result.tokens == 1000
    error = result.relative_error(others, normalise(others, gamma, beta))
    assert error < bound
    assert abs(error / result.error - 1) < 0.1


def test_step_of_each_channel():
    gamma, beta = weights()
    inputs = tokens(600)
    results = {kind: calibrate("layernorm-exact", inputs, gamma, beta, bits=12, output_step=kind)
               for kind in ("common", "channel")}
    assert results["channel"].error < 0.7 * results["common"].error
    scales = results["channel"].output_scales
    assert np.isclose(np.exp(np.log(scales).mean()), results["channel"].config.output_scale)
    # What is integer in gamma and beta, times the step of the channel, is the layer's.
    config = results["channel"].config
    step = scales * 2.0 ** -config.gamma_fraction_bits
    assert (np.abs(np.array(config.gammas) * step - gamma) <= 0.5001 * step).all()


def test_channel_that_hardly_moves():
    """It must not take the precision of the others."""
    gamma, beta = weights()
    inputs = tokens(600)
    still = inputs.copy()
    still[:, 0] = inputs[:, 1:].mean(axis=1)
    errors = [calibrate("layernorm-exact", x, gamma, beta, bits=12, output_step="channel").error
              for x in (inputs, still)]
    assert errors[1] < 1.2 * errors[0]


def test_common_mean():
    """LayerNorm takes a mean of all channels off; RMSNorm does not, and silent zeros warn."""
    inputs = 1e4 + np.random.default_rng(0).normal(0, 1, (600, 32))
    result = calibrate("layernorm-exact", inputs[:400], np.ones(32))
    assert abs(result.input_offset - 1e4) < 1
    others = inputs[400:]
    assert result.relative_error(others, normalise(others, 1.0, 0.0)) < 0.02
    assert np.abs(result.dequantise(result.quantise(others)) - others).max() < 0.02
    centred = inputs - 1e4 + 3
    assert calibrate("layernorm-exact", centred, np.ones(32)).input_offset > 2.9
    assert calibrate("layernorm-exact", centred, np.ones(32), preset="rms").input_offset == 0
    inputs[0] = 0.0
    with pytest.warns(UserWarning, match="err by [0-9]+% of|have a deviation below"):
        calibrate("layernorm-exact", inputs, np.ones(32))


def test_rows_of_little_deviation():
    """Rows below the smallest deviation that the unit tells apart, in a range set by others."""
    random = np.random.default_rng(0)
    inputs = random.normal(0, 1, (600, 32))
    inputs[::10] *= 0.001
    with pytest.warns(UserWarning, match="10% of the tokens have a deviation below config.small"):
        result = calibrate("layernorm-ai", inputs, np.ones(32), bits=10)
    assert abs(result.narrow_rows(inputs) - 0.1) < 0.01


@pytest.mark.parametrize("mean_fraction_bits", [2, 3, 4, 5, 6])
def test_outlier_leaves_the_octaves_to_the_others(mean_fraction_bits):
    """The radicand has the range of the channels' own factors, and resolves their deviations."""
    gamma, beta = weights(384)
    inputs = tokens(400, 384)
    # Most rows have little of it.
    inputs[:, -1] = 800 * np.random.default_rng(2).random(400) ** 30
    result = calibrate("layernorm-ai", inputs, gamma, beta, bits=10, output_step="channel",
                       alpha_bits=3, mean_fraction_bits=mean_fraction_bits)
    assert result.narrow_rows(inputs) == 0
    assert result.error < 0.03


def test_few_tokens():
    inputs = tokens(40)
    with pytest.warns(UserWarning, match="Calibration on 40 tokens: .* take 256 at least"):
        calibrate("layernorm-exact", inputs, *weights())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibrate("layernorm-exact", inputs, *weights(), fewest_tokens=40)


# Real activations

def test_normalise_is_the_models(norms):
    for norm in norms:
        assert np.allclose(normalise(norm.inputs, norm.gamma, norm.beta, epsilon=norm.epsilon),
                           norm.outputs())


def test_real_activations(norms):
    """What the units add to the error of an output of 8 bits, by layer."""
    for norm in norms:
        exact = calibrate("layernorm-exact", norm.inputs, norm.gamma, norm.beta,
                          epsilon=norm.epsilon, fewest_tokens=1)
        step, outputs = exact.config.output_scale, norm.outputs()
        rounded = np.clip(np.floor(outputs / step + 0.5), -128, 127) * step
        floor = np.abs(rounded - outputs).mean() / outputs.std()
        quantised = normalise(exact.dequantise(exact.quantise(norm.inputs)), norm.gamma, norm.beta,
                              epsilon=norm.epsilon)
        inputs = np.abs(quantised - outputs).mean() / outputs.std()
        assert error(exact, norm) < floor + inputs
        approximate = calibrate("layernorm-ai", norm.inputs, norm.gamma, norm.beta,
                                epsilon=norm.epsilon, fewest_tokens=1)
        assert error(approximate, norm) < floor + inputs + 0.02


@pytest.mark.filterwarnings("ignore:The outputs of the calibrated unit")
def test_factors_pay_on_real_activations(norms):
    """Power-of-two factors against one scale for all channels, 8 bits each, over all layers."""
    errors = {bits: np.mean([error(calibrate("layernorm-ai", norm.inputs, norm.gamma, norm.beta,
                                             epsilon=norm.epsilon, alpha_bits=bits,
                                             fewest_tokens=1), norm)
                             for norm in norms]) for bits in (0, 1, 2)}
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.65 * errors[0]
