"""E2Softmax: softmax in logarithmic codes, with an online normaliser and a division by logarithm.

Source: SOLE (Wang et al., ICCAD 2023), section on E2Softmax. The preset ``paper`` follows it; the
preset ``plus`` keeps its structure (log codes, online normaliser, no multiplier, no divider) and
changes what the codes count: steps of the input instead of octaves, so that no code is rounded and
the division becomes a subtraction of codes::

    octave:  m = running maximum    k = min(round(23/16 * scale * (m - x)), 2**code_bits - 1)
             S = (S >> c) + sum(2**(f - k)),      with the code c of a rise of m
             y = C[bits of S below its leading one] >> (k + late + floor(log2 S))
    input:   r = reference on whole octaves, r >= m      k = r - x
             S = (S >> rise of r) + sum(2**(f - k / g))
             y = 2**-((k + late + round(g * log2 S)) / g),     one table

Notation: ``x`` logit, ``d`` distance to the reference, ``k`` code, ``S`` sum, ``f`` fraction bits
of the sum, ``g`` codes per octave (factor of two), ``late`` code of the rise after the beat.
"""

import dataclasses
import functools
import math
from fractions import Fraction

from amaranth import Cat, Mux, Signal

from ..blocks.lookup import constant_multiple, lookup
from ..blocks.pipeline import delays
from ..blocks.power_sum import PowerSum
from ..config import register
from ..fixed import half_up, round_shift
from ..parameter import Choice, Integer, parameter
from ..tables import exp2_words, log2_ratio, reciprocal_words
from .config import SoftmaxConfig, partial_sums, pipeline
from .grid import InputGrid, OctaveGrid
from .input_codes import InputCodes, corrected_words, ends_early
from .online import OnlineMethod, Reference
from .positions import TABLE_BITS, Distances, Positions
from .row_sum import NormalisedSum, rests
from .search import MaximumSearch

__all__ = ["E2SoftmaxConfig"]


# SOLE's shift-add approximation of 1/ln 2: 1 + 1/2 - 1/16.
LOG2_E = Fraction(23, 16)

# SOLE's two constants of the division, for a sum just above and well above a power of two.
PAPER_CONSTANTS = (Fraction(818, 1000), Fraction(568, 1000))

# Right shift that leaves nothing of a logit of 16 bits times a coefficient of 10; a larger one
# gives the same codes.
LARGEST_SHIFT = 40

# Fraction bits of the division constants: enough for the widest output.
CONSTANT_BITS = 16


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class E2SoftmaxConfig(SoftmaxConfig):
    """E2Softmax: logarithmic codes, online normaliser, division by logarithm (SOLE, ICCAD 2023).

    With ``codes="octave"`` (as published) a code counts octaves to the running maximum, and the
    output is one of ``divider_constants`` constants, shifted. With ``codes="input"`` it counts
    steps of the input, doubled or halved until an octave holds about ``2**code_fraction_bits`` of
    them; the reference rises by whole octaves, so that the sum is corrected by an exact shift.
    """

    running = True

    UNIT = "softmax-e2"
    PRESETS = {
        "plus": {},
        "paper": {"codes": "octave", "code_bits": 4, "code_fraction_bits": 0,
                  "sum_fraction_bits": 15, "divider_constants": 2, "correction": "incremental",
                  "output_rounding": "truncate"},
    }

    codes: str = parameter("input", Choice(("octave", "input")), tag="g",
                           help="what a code counts: octaves as published, or steps of the input")
    code_bits: int = parameter(6, Integer(2, 10), tag="k", help="width of a code")
    code_fraction_bits: int = parameter(
        2, Integer(0, 4), tag="kf",
        help="input codes: log2 of the codes per octave, to the nearest")
    code_rounding: str = parameter("round", Choice(("round", "truncate")), tag="kr",
                                   help="rounding of a logit to its code")
    correction: str = parameter(
        "absolute", Choice(("incremental", "absolute")), tag="c",
        help="order of correction: rounded rises of the maximum as published, or telescoping codes")
    sum_fraction_bits: int = parameter(8, Integer(4, 24), tag="f", help="fraction bits of the sum")
    divider_constants: int = parameter(
        0, Choice((0, 2, 4, 8)), tag="d",
        help="constants of the division; 0 subtracts logarithms (input codes)")
    partial_sums: int = partial_sums()
    pipeline: str = pipeline()
    output_rounding: str = parameter("round", Choice(("truncate", "round")), tag="or",
                                     help="rounding of the output")

    def __post_init__(self):
        super().__post_init__()
        # A step of more than 16 octaves would need references wider than any real logit.
        self._require("input_scale", self.input_scale <= 16.0, "at most 16")
        if self.codes == "octave":
            self._require("code_bits", self.code_bits <= 5, "2..5 for octave codes")
            self._require("code_fraction_bits", self.code_fraction_bits == 0,
                          "0 for octave codes")
            self._require("divider_constants", self.divider_constants > 0,
                          "2, 4 or 8 for octave codes")
        else:
            self._require("code_bits", self.code_bits >= self.code_fraction_bits + 3,
                          f"at least {self.code_fraction_bits + 3} for input codes with "
                          f"{self.code_fraction_bits} fraction bits")
            self._require("divider_constants", self.divider_constants == 0, "0 for input codes")
            self._require("correction", self.correction == "absolute", "absolute for input codes")

    # Numbers -----------------------------------------------------------------------------------

    @property
    def output_scale(self):
        """Real value of one output step, ``2 ** -out_bits``."""
        return 2.0 ** -self.out_bits

    @property
    def incremental(self):
        """Whether codes are taken of differences, as published, rather than of the logits."""
        return self.correction == "incremental"

    @property
    def top_code(self):
        """Largest code. Stands for ``2 ** -top_code`` (octave codes) or for zero (input codes)."""
        return (1 << self.code_bits) - 1

    @functools.cached_property
    def coefficient(self):
        """``(multiplier, shift)`` from logit steps to octaves.

        Exact (23, F + 4) for a scale of ``2 ** -F``; otherwise ten significant bits.
        """
        octaves = Fraction(self.input_scale) * LOG2_E
        if math.frexp(self.input_scale)[0] == 0.5:
            multiplier, shift = octaves.numerator, octaves.denominator.bit_length() - 1
            return multiplier, min(shift, LARGEST_SHIFT)
        shift = 9 - (math.frexp(float(octaves))[1] - 1)
        multiplier = half_up(octaves * Fraction(2) ** shift)
        return (multiplier, min(shift, LARGEST_SHIFT)) if shift >= 0 else (multiplier << -shift, 0)

    @functools.cached_property
    def grid(self):
        """Grid on which maxima and distances are taken."""
        if self.codes == "input":
            return InputGrid.of(self.bits, self.input_scale, self.code_fraction_bits,
                                self.code_rounding)
        factors = (1, 0) if self.incremental else self.coefficient
        return OctaveGrid(self.bits, factors, self.code_rounding)

    @property
    def codes_per_octave(self):
        """Number ``g`` of codes per octave, as a fraction."""
        return Fraction(1) if self.codes == "octave" else self.grid.per_octave

    # Stage 1: codes and sum --------------------------------------------------------------------

    def distance_code(self, distance):
        """Unclipped code of a distance (a reference less a position, or less a reference)."""
        if not self.incremental:
            return distance
        return round_shift(distance * self.coefficient[0], self.coefficient[1], self.code_rounding)

    @property
    def one_term(self):
        """What code 0 adds to the sum: 1.0, or for input codes just less, which saves a bit."""
        return (1 << self.sum_fraction_bits) - (self.codes == "input")

    @functools.cached_property
    def terms(self):
        """What each code adds to the sum, with ``sum_fraction_bits`` fraction bits."""
        f = self.sum_fraction_bits
        if self.codes == "octave":
            return tuple((1 << f) >> k for k in range(self.top_code + 1))
        exponents = (k / self.codes_per_octave for k in range(self.top_code))
        return exp2_words(exponents, self.one_term) + (0,)

    @property
    def sum_bits(self):
        """Width of the sum, which can not overflow: ``max_terms`` terms of at most 1.0."""
        return (self.max_terms * self.one_term).bit_length()

    # Stage 2: division -------------------------------------------------------------------------

    @property
    def mantissa_bits(self):
        """Bits of the sum below its leading one that the division looks at."""
        if self.codes == "octave":
            return self.divider_constants.bit_length() - 1
        return self.code_fraction_bits + 2

    @functools.cached_property
    def log_offset(self):
        """Added to the logarithm of the sum, so that it is never negative."""
        return -min(0, self._sum_log(self.smallest_place, 0))

    @functools.cached_property
    def smallest_place(self):
        """Place of the leading one in the smallest sum of a row that is not fully masked."""
        if self.codes == "octave":
            return self.sum_fraction_bits
        term = self.terms[min(self.grid.gap, self.top_code - 1)]
        return max(term.bit_length() - 1, 0)

    def _sum_log(self, place, mantissa):
        """Logarithm of a sum in codes, from the place of its leading one and the bits below."""
        if self.codes == "octave":
            return place - self.sum_fraction_bits
        # The middle of all sums that look the same.
        middle = Fraction(2 * ((1 << self.mantissa_bits) + mantissa) + 1, 2 << self.mantissa_bits)
        octaves = log2_ratio(middle * (1 << place), self.one_term)
        return half_up(self.codes_per_octave * octaves)

    @functools.cached_property
    def sum_logs(self):
        """Logarithm of the sum plus :attr:`log_offset`.

        The index is ``(place - smallest_place) << mantissa_bits | mantissa``, with the place of the
        leading one and the bits below it.
        """
        return tuple(self._sum_log(place, mantissa) + self.log_offset
                     for place in range(self.smallest_place, self.sum_bits)
                     for mantissa in range(1 << self.mantissa_bits))

    @functools.cached_property
    def outputs(self):
        """Output words: ``outputs[c][u]`` for the division's constant ``c`` and the code
        ``u = k + c + log2 S + log_offset``. Every larger ``u`` gives 0."""
        if self.codes == "octave":
            constants = (tuple(half_up(c * (1 << CONSTANT_BITS))
                               for c in PAPER_CONSTANTS) if self.divider_constants == 2 else
                         reciprocal_words(self.divider_constants, CONSTANT_BITS))
            shift = CONSTANT_BITS - self.out_bits
            words = [tuple(round_shift(c, shift + u, self.output_rounding)
                           for u in range(self.out_bits + 2)) for c in constants]
        else:
            codes = range(math.ceil((self.out_bits + 1) * self.codes_per_octave) + 1)
            exact = exp2_words((k / self.codes_per_octave for k in codes), 1 << self.out_bits,
                               self.output_rounding)
            largest = (1 << self.out_bits) - 1
            words = [(largest,) * self.log_offset + tuple(min(y, largest) for y in exact)]
        length = max(max((u for u, y in enumerate(row) if y), default=0) for row in words) + 1
        return tuple(row[:length] for row in words)

    @property
    def zero_code(self):
        """Smallest ``u`` from which every output is 0."""
        return len(self.outputs[0])

    # Hardware ----------------------------------------------------------------------------------

    @property
    def method(self):
        """Codes in octaves and a table by constant, or codes in input steps and one table."""
        result = NormalisedSum(self, self.mantissa_bits, rests(self))
        if self.codes == "octave":
            return OnlineMethod(_OctaveCodes(self), result, _ConstantOutputs(self))
        return OnlineMethod(InputCodes(self), result, _LogarithmOutputs(self))


# Codes in octaves ------------------------------------------------------------------------------

class _OctaveCodes:
    """Kind of code: octaves to the running maximum itself; an element stands for ``2**-code``.

    :class:`~rtl.softmax.online.OnlineDatapath` says what the members are.
    """

    reference_latency = 1

    def __init__(self, config):
        self.config = config
        grid = config.grid
        self.position = Positions(config, int(not config.incremental))
        # A distance goes straight through a table; where it is multiplied, a register is before.
        self.distance = Distances(
            config, int(config.incremental and grid.position_bits > TABLE_BITS))
        self.search = MaximumSearch(grid.position_bits, config.summands)
        self.sum = _PowerSum(config)
        self.bits = config.code_bits
        self.stored_bits = grid.reference_bits

    @property
    def flagged(self):
        """The top code stands for more than 0, so that it does not mark a dead element."""
        return self.config.top_code < self.config.zero_code

    @staticmethod
    def searched(positions):
        """Words to take the maximum of: the positions."""
        return positions

    @staticmethod
    def reference(m, maximum):
        """The maximum."""
        return Reference(position=maximum.o, level=maximum.o, stored=maximum.o)

    def rise(self, m, risen):
        """Shift of the sum: the code of a rise."""
        return self._code(m, risen, "rise_code")

    def late(self, m, rise):
        """What codes lack: the code of a rise."""
        return self._code(m, rise, "late_code")

    def encode(self, m, beat):
        """Codes of the elements; the top code for those that take no part."""
        codes = []
        for k, distance in enumerate(beat.distances):
            code = Signal(self.bits, name=f"code_{k}", reset_less=True)
            with m.If(beat.live[k]):
                m.d.sync += code.eq(self._code(m, distance, f"code_word_{k}"))
            with m.Else():
                m.d.sync += code.eq(self.config.top_code)
            codes.append(code)
        return codes

    def _code(self, m, distance, name):
        """Code of any distance, at most the top code."""
        config = self.config
        if not config.incremental:
            near = ~distance[config.code_bits:].any()
            return Mux(near, distance[:config.code_bits], config.top_code)
        if len(distance) <= TABLE_BITS:
            words = [min(config.distance_code(d), config.top_code)
                     for d in range(1 << len(distance))]
            return lookup(m, distance, words, name=name)
        multiplier, shift = config.coefficient
        value = round_shift(constant_multiple(distance, multiplier), shift, config.code_rounding)
        return Mux(value >= config.top_code, config.top_code, value)[:config.code_bits]


class _PowerSum:
    """Stage: sum of ``2**(f - code)`` over the live elements of a beat."""

    def __init__(self, config):
        self.config = config
        self.latency = PowerSum.stages(config.summands)

    def __call__(self, m, beat, codes):
        config = self.config
        m.submodules.beat_sum = tree = PowerSum(config.code_bits, config.sum_fraction_bits,
                                                config.summands)
        m.d.comb += tree.live.eq(beat.live_coded)
        m.d.comb += [operand.eq(code) for operand, code in zip(tree.code, codes, strict=True)]
        return tree.o


class _ConstantOutputs:
    """Stage: words by code plus ``late`` plus ``log2 S``, of the table of the sum's constant."""

    latency = 3

    def __init__(self, config):
        self.config = config

    def __call__(self, m, beat):
        config = self.config
        below = config.mantissa_bits
        log = beat.result[below:]
        number = delays(m, beat.result[:below], 1, "constant")[-1]
        if beat.dead is not None:
            codes = _capped(m, config, beat, beat.late, 1)
            offset = delays(m, log, 1, "offset")[-1]
            dead = delays(m, beat.dead, 2, "read_dead")[-1]
        else:
            codes = beat.codes_later(m, 2)
            offset = Signal(max(len(beat.late), len(log)) + 1)
            m.d.sync += offset.eq(beat.late + log)
            dead = [0] * config.lanes

        bits = max((config.zero_code - 1).bit_length(), 1)
        words = [row[u] if u < len(row) else 0 for row in config.outputs for u in range(1 << bits)]
        outputs = []
        for k, code in enumerate(codes):
            total = Signal(max(config.code_bits, len(offset), bits) + 1, name=f"total_{k}")
            m.d.comb += total.eq(code + offset)
            output = Signal(config.out_bits, name=f"output_{k}", reset_less=True)
            with m.If(total[bits:].any() | dead[k]):
                m.d.sync += output.eq(0)
            with m.Else():
                m.d.sync += output.eq(lookup(m, Cat(total[:bits], number), words,
                                             name=f"output_word_{k}"))
            outputs.append(output)
        return outputs


# Codes in steps of the input -------------------------------------------------------------------

class _LogarithmOutputs:
    """Stage: words by code plus ``late`` plus the sum's logarithm in codes, of one table."""

    def __init__(self, config):
        self.config = config
        self.wait = int(config.pipeline == "deep")
        self.latency = 3 + self.wait

    def __call__(self, m, beat):
        config, wait = self.config, self.wait
        log = lookup(m, beat.result, config.sum_logs, name="log_word")
        log, late = (delays(m, word, wait, name)[-1]
                     for word, name in ((log, "log"), (beat.late, "late_code")))
        if ends_early(config):
            # What is beyond the codes counts as 0 whenever it came.
            codes = _capped(m, config, beat, late, 1 + wait)
            offset = delays(m, log, 1, "offset")[-1]
        else:
            codes = beat.codes_later(m, 2 + wait)
            offset = Signal(max(len(late), len(log)) + 1)
            m.d.sync += offset.eq(late + log)
        return corrected_words(m, config, codes, offset, config.outputs[0], "output")


def _capped(m, config, beat, late, cycles):
    """Codes plus ``late``, at most the top code, registered; ``late`` comes ``cycles`` after them.
    """
    top = config.top_code
    codes = []
    for k in range(config.lanes):
        code = delays(m, beat.codes[k], cycles, f"read_code_{k}")[-1]
        total = Signal(max(config.code_bits, len(late)) + 1, name=f"late_total_{k}")
        m.d.comb += total.eq(code + late)
        clipped = Signal(config.code_bits, name=f"late_code_{k}")
        m.d.sync += clipped.eq(Mux(total >= top, top, total))
        codes.append(clipped)
    return codes
