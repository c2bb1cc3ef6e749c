"""What follows from the engine's parameters: ranges, widths, scales and rules."""

import functools
import math
from fractions import Fraction

from ..fixed import Requantiser, signed_range, signed_width
from ..softmax.choice import SoftmaxChoice
from ..softmax.exponentials import ExponentialsConfig
from .online.numbers import OnlineNumbers, RowScale
from .parameters import SetParameters
from .predict.predictors import predictor
from .resident.regions import Regions
from .reuse.row_division import RowDivision
from .sink import Sink

__all__ = ["OWN", "EngineNumbers"]

# Parameters of the softmax that the engine sets, and its own that they are.
OWN = {"bits": "logit_bits", "input_scale": "logit_scale", "out_bits": "weight_bits",
       "lanes": "lanes", "max_length": "max_keys"}

# Rows inside the unit of a reused map's exponentials: it has one lane, so that a set of a few keys
# has few beats, but a query takes far longer.
REUSE_ROWS = 32


class EngineNumbers:
    """Numbers of an :class:`~rtl.attention.config.AttentionConfig`, which has the parameters."""

    @functools.cached_property
    def softmax_config(self):
        """Configuration of the softmax unit; for reuse, of its exponentials."""
        if self.reuse:
            return ExponentialsConfig(
                bits=self.logit_bits, input_scale=self.logit_scale, out_bits=self.code_bits,
                lanes=1, max_length=self.max_keys, max_rows=REUSE_ROWS)
        return SoftmaxChoice.config(
            self.softmax, OWN, bits=self.logit_bits, input_scale=self.logit_scale,
            out_bits=self.weight_bits, lanes=self.lanes, sink=self.sink,
            max_length=self.regions.row_keys if self.store == "resident" else self.max_keys)

    @functools.cached_property
    def regions(self):
        """Regions of the resident sets, and what their queries see."""
        return Regions(sets=self.sets, capacity=self.max_keys, lanes=self.lanes,
                       causal=self.causal, window=self.window, sinks=self.sinks, chunk=self.chunk,
                       position_bits=self.position_bits)

    @property
    def element_range(self):
        """Least and largest element."""
        return signed_range(self.bits)

    @property
    def dot_range(self):
        """Least and largest dot product."""
        low, high = self.element_range
        return self.dim * low * high, self.dim * low * low

    @property
    def dot_bits(self):
        """Width of a dot product, signed."""
        return signed_width(*self.dot_range)

    @functools.cached_property
    def logit(self):
        """Requantiser of dot products to logits."""
        return Requantiser.of_square(self._logit_square, self.logit_bits)

    @property
    def _logit_square(self):
        """Square of what a step of the dot product is worth, in logit steps."""
        scale = Fraction(self.query_scale) * Fraction(self.key_scale) / Fraction(self.logit_scale)
        return scale ** 2 / self.dim

    @property
    def weight_width(self):
        """Width of what the values are multiplied by, unsigned."""
        return self.code_bits if self.reuse else self.weight_bits

    @functools.cached_property
    def online(self):
        """Numbers of the datapath in one pass."""
        return OnlineNumbers(
            bits=self.logit_bits, input_scale=self.logit_scale, octave_bits=self.octave_bits,
            fraction_bits=self.term_bits, guard_bits=self.guard_bits, value_bits=self.bits,
            lanes=self.lanes, max_keys=self.max_keys, scale=RowScale.of(self.output),
            run_time=self.run_time, sink=self.sink)

    @property
    def fixed_sink(self):
        """Sink of the rows that bring none of their own; None without ``sink``."""
        return Sink(self.sink_logit) if self.sink else None

    @property
    def sum_range(self):
        """Least and largest weighted sum; for the datapath in one pass, as it is read."""
        if self.datapath == "online":
            return self.online.read_range
        low, high = self.element_range
        most = self.max_keys * ((1 << self.weight_width) - 1)
        return most * low, most * high

    @property
    def sum_bits(self):
        """Width of a weighted sum, signed."""
        return signed_width(*self.sum_range)

    @property
    def run_time(self):
        """Whether the scales of logits and outputs come with every set."""
        return self.scales == "run-time"

    @property
    def limits(self):
        """What the selection goes by, by name; with scales at run time a set brings its own."""
        if self.select == "predict":
            return ({"mean": "mean_shift", "threshold": "threshold", "top-k": "top_k"}[self.rule],)
        return ("iterations", "distance") if self.select == "greedy" else ()

    @functools.cached_property
    def set_parameters(self):
        """Parameters of a set, with scales at run time, that the scales of the steps above give."""
        return SetParameters.of(self)

    @property
    def sum_window(self):
        """Width that a weighted sum saturates to before it is scaled, signed; not in one pass.

        With fixed scales that of the sum. With scales at run time a row's weights may be worth 16
        in all, far above the 1 that they are worth, so that a DSP block takes a sum.
        """
        if not self.run_time:
            return self.sum_bits
        return min(self.sum_bits, self.weight_bits + self.bits + 4)

    @functools.cached_property
    def output(self):
        """Requantiser of weighted sums to outputs; in one pass, of sums over the row's weight."""
        rule = Requantiser.of_square(self._output_square, self.out_bits)
        # The factor of a row is rounded to the bits that the multiplier has.
        return rule.normalised if self.datapath == "online" else rule

    @property
    def _output_square(self):
        """Square of what a step of the weighted sum is worth, in output steps."""
        weight = 1 if self.datapath == "online" else Fraction(self.softmax_config.output_scale)
        return (weight * self._division_ratio) ** 2

    @property
    def _division_ratio(self):
        return Fraction(self.value_scale) / Fraction(self.output_scale)

    @functools.cached_property
    def division(self):
        """Division of weighted sums by the sum of a row's codes, to outputs, for reuse."""
        most = (1 << self.code_bits) - 1
        return RowDivision(self._division_ratio, most, self.max_keys * most, self.out_bits)

    @functools.cached_property
    def predictor_config(self):
        """Codes and terms of the predictor."""
        return predictor(self.predictor, self.bits,
                         self.prefix_dims if self.predictor == "prefix" else self.dim)

    @property
    def known_dims(self):
        """Dimensions whose part of the exact dot product the prediction has made."""
        rule = self.predictor_config
        return rule.dims if self.select == "predict" and rule.partial else 0

    @property
    def known_bits(self):
        """Width of that part, unsigned."""
        return self.predictor_config.score_bits if self.known_dims else 0

    @property
    def known_offset(self):
        """Constant that it carries on top."""
        return self.predictor_config.offset if self.known_dims else 0

    @property
    def iterations(self):
        """Iterations of the greedy search, until the input ``iterations`` says otherwise."""
        return math.floor(self.iterations_per_key * self.max_keys + 0.5)

    @property
    def iteration_bits(self):
        """Width of the input ``iterations``: there are ``max_keys * dim`` products."""
        return (self.max_keys * self.dim).bit_length()

    @property
    def distance(self):
        """Logit steps that a candidate may be below the best one, ``ln(100 / percent)``.

        Until the input ``distance`` says otherwise.
        """
        steps = math.floor(math.log(100.0 / self.percent) / self.logit_scale + 0.5)
        return min(steps, (1 << self.logit_bits) - 1)
