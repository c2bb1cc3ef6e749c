"""Leading one of the radicand, a pair of bits at a time."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Normaliser", "root_index"]


def root_index(normal, index_bits):
    """Index of the tables of roots: parity of the leading one's place, then the bits below it.

    ``normal`` is what a :class:`Normaliser` puts out, of ``index_bits + 1`` bits at least.
    Combinational.
    """
    below = index_bits - 1
    top = len(normal) - 1
    fraction = Mux(normal[top], normal[top - below:top], normal[top - 1 - below:top - 1])
    return Cat(fraction, normal[top])


class Normaliser(wiring.Component):
    """Shifts the radicand to the left by pairs of bits until one of the top two is set.

    A radicand below ``config.least_radicand`` counts as that one. Latency 2 cycles, throughput one
    radicand per cycle.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.
    bits : int
        Bits to keep.

    Members
    -------
    radicand : In(config.radicand_shape)
        Radicand.
    o : Out(bits)
        Its bits from the leading pair on: the leading one is in the first or the second.
    zeros : Out(range(config.leading_pairs + 1))
        Leading zero count, in pairs, of the ``config.radicand_bits`` bits.
    """

    #: Cycles from the radicand to the outputs.
    LATENCY = 2

    def __init__(self, config, bits):
        self.config = config
        self.bits = bits
        super().__init__({
            "radicand": In(config.radicand_shape),
            "o": Out(bits),
            "zeros": Out(range(config.leading_pairs + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        pairs, width, bits = self.config.leading_pairs, self.config.radicand_bits, self.bits
        radicand = self.radicand
        # Where ``pairs`` is a power of two, its last value is detected beside the steps: a step of
        # its own would only tell this one value from the others.
        aside = pairs > 0 and pairs & (pairs - 1) == 0
        steps = pairs.bit_length() - aside
        least = 1 << (bits - 2)
        negative = radicand[-1] if radicand.shape().signed else 0
        small = ~radicand[width - 2 * pairs - 2 * (not aside):width].any() | negative
        fallback = Const(least, bits)
        if aside:
            rest = width - 2 * pairs
            fallback = Cat(Const(0, max(bits - rest, 0)), radicand[max(rest - bits, 0):rest])
            fallback = Mux(radicand[rest - 2:rest].any() & ~negative, fallback, least)[:bits]
        current = radicand[:width]
        zeros = Const(0, 0)
        for step in reversed(range(max(steps, 1))):
            if steps:
                current, empty = self._skip_zeros(m, current, step)
                zeros = Cat(empty, zeros)
            # The register goes before the last two steps: the first ones test the most bits.
            if step == max(steps - 2, 0):
                current, zeros, small, fallback = (
                    _register(m, value, name) for name, value in (
                        ("rest", current), ("count", zeros), ("small", small),
                        ("fallback", fallback)))
        current = Cat(Const(0, max(bits - len(current), 0)), current)
        m.d.sync += [self.o.eq(current[len(current) - bits:]), self.zeros.eq(zeros)]
        with m.If(small):
            m.d.sync += [self.o.eq(fallback), self.zeros.eq(pairs)]
        return m

    def _skip_zeros(self, m, current, step):
        """Shift to the left by ``2**step`` pairs if they are zeros; and whether they were."""
        size = 2 << step
        # Drop the bits that no later step can bring to the top.
        keep = size - 2 + self.bits
        current = Cat(Const(0, max(size + keep - len(current), 0)), current)
        top = len(current)
        empty = Signal(name=f"empty_{step}")
        chosen = Signal(keep, name=f"chosen_{step}")
        m.d.comb += [
            empty.eq(~current[top - size:].any()),
            chosen.eq(Mux(empty, current[top - size - keep:top - size], current[top - keep:])),
        ]
        return chosen, empty


def _register(m, value, name):
    """Register in the middle of the normalisation."""
    register = Signal(len(value), name=name)
    m.d.sync += register.eq(value)
    return register
