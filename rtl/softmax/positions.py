"""Stages from logits to their positions on a grid, and to distances to a reference."""

from amaranth import Cat, Const, Signal
from amaranth.lib import data

from ..blocks.lookup import constant_multiple, lookup, tabled_multiple
from ..blocks.pipeline import delays
from ..fixed import half, round_shift, signed_range

__all__ = ["TABLE_BITS", "Distances", "OctaveReferences", "Positions"]

# Functions of up to this many bits are looked up; wider ones are computed.
TABLE_BITS = 8


class Positions:
    """Stage: positions of the logits of a beat on ``config.grid``.

    Parameters
    ----------
    config : SoftmaxConfig
        With a ``grid`` (:mod:`rtl.softmax.grid`).
    latency : int
        1: a table or a constant multiplication, and a register. 0: the factor of the grid is a
        power of two, so that a position takes wires, or the addition of a constant.
    """

    def __init__(self, config, latency):
        self.config, self.latency = config, latency

    def __call__(self, m, logits, wait):
        """Positions of a beat's ``logits``, and the same positions ``wait`` cycles later.

        ``logits`` is an ArrayLayout(signed(bits), summands); both results hold a Value of
        ``grid.position_bits`` bits for each summand.
        """
        config = self.config
        grid = config.grid
        if self.latency:
            words = Signal(data.ArrayLayout(grid.position_bits, config.summands), name="positions")
            m.d.sync += [words[k].eq(self._computed(m, x, k)) for k, x in enumerate(logits)]
            return words, delays(m, words, wait, "positions")[-1]
        # Logits wait as they are: the sign is turned where a LUT takes it in passing.
        shift = grid.factors[0].bit_length() - 1
        offset = (-1 << (config.bits - 1 + shift)) - grid.origin
        return tuple([self._shifted(x, shift, offset) for x in beat]
                     for beat in (logits, delays(m, logits, wait, "logits")[-1]))

    def _shifted(self, x, shift, offset):
        """Position of a logit, for a factor that is a power of two."""
        config = self.config
        sign = 1 << (config.bits - 1)
        place = Cat(Const(0, shift), (x.as_unsigned() ^ sign)[:config.bits])
        return (place + offset)[:config.grid.position_bits] if offset else place

    def _computed(self, m, x, lane):
        """Position of a logit, for any factor."""
        config = self.config
        grid = config.grid
        if config.bits <= TABLE_BITS:
            low, high = signed_range(config.bits)
            # In the order of the bit patterns.
            words = [grid.position(v) for v in (*range(high + 1), *range(low, 0))]
            word = lookup(m, x.as_unsigned(), words, name=f"position_word_{lane}")
            return Cat(word, Const(0, grid.position_bits - len(word)))
        multiplier, shift = grid.factors
        product = constant_multiple(x.as_signed(), multiplier)
        return (round_shift(product, shift, grid.rounding) - grid.origin)[:grid.position_bits]


class Distances:
    """Stage: distances of a beat's positions to the reference.

    Parameters
    ----------
    config : SoftmaxConfig
        With a ``grid``.
    latency : int
        0, or 1 for a register behind the subtraction.
    """

    def __init__(self, config, latency):
        self.config, self.latency = config, latency

    def __call__(self, m, reference, positions):
        """Distance of each lane, ``reference - position``, of ``grid.reference_bits`` bits."""
        distances = []
        for k, position in enumerate(positions):
            distance = Signal(self.config.grid.reference_bits, name=f"distance_{k}")
            m.d.comb += distance.eq(reference - position)
            distances.append(delays(m, distance, self.latency, distance.name)[-1])
        return distances


class OctaveReferences:
    """Stage: octave and position of the reference above a maximum, for an ``InputGrid``.

    Parameters
    ----------
    grid : InputGrid
        Grid of the positions.
    """

    def __init__(self, grid):
        self.grid = grid
        self._tabled = grid.bucket_bits <= TABLE_BITS
        #: Cycles from a candidate for the maximum: 1 with tables of its bucket. A wider one is
        #: multiplied, and its octave.
        self.latency = 1 if self._tabled else 4

    def __call__(self, m, maximum):
        """Octave and position, both registered, for a
        :class:`~rtl.blocks.maximum.RunningMax` of buckets.
        """
        grid = self.grid
        octave = Signal(grid.octave_bits, name="octave")
        reference = Signal(grid.reference_bits, name="reference")
        if self._tabled:
            buckets = range(1 << grid.bucket_bits)
            with m.If(maximum.update):
                m.d.sync += [word.eq(lookup(m, maximum.candidate, [of(b) for b in buckets],
                                            name=f"{word.name}_word"))
                             for word, of in ((octave, grid.octave), (reference, grid.reference))]
            return octave, reference
        a, p, g, q = grid.octave_factors
        with m.If(maximum.update):
            multiple = tabled_multiple(m, maximum.candidate, a << grid.bucket_shift,
                                       (1 << p) + ((1 << grid.bucket_shift) - 1) * a, "octaves")
        m.d.sync += octave.eq(multiple >> p)
        m.d.sync += reference.eq(tabled_multiple(m, octave, g, half(q), "references") >> q)
        return delays(m, octave, 2, "octave")[-1], reference
