"""Hardware of Softermax."""

from amaranth import Cat, Const, Mux, Signal

from ..blocks.adder_tree import AdderTree
from ..blocks.barrel_shift import shift_right
from ..blocks.lookup import lookup
from ..blocks.pipeline import delays
from .online_core import TABLE_BITS, OnlineDatapath, levels

__all__ = ["SoftermaxDatapath"]

# From this many lanes on, the digit-wise maximum is smaller than the tree.
RADIX_LANES = 4


def _near(config):
    """Whether a distance is looked up as it is, and not by its fraction."""
    return (len(config.exponentials) - 1).bit_length() <= TABLE_BITS - 1


class SoftermaxDatapath(OnlineDatapath):
    """First pass: integer maximum, exponentials relative to it (stored), online sum.

    Second pass: the exponentials shifted by what the maximum has risen by since, times the
    reciprocal of the sum.
    """

    @staticmethod
    def first_pass(config):
        return {"position": int(config.axis.factors != (1, 0)),
                "distance": int(not _near(config)),
                "beat_sum": AdderTree.stages(config.lanes, levels(config))}

    @staticmethod
    def search(config):
        return {"width": config.axis.position_bits, "radix": config.lanes >= RADIX_LANES,
                "relaxed": config.pipeline == "deep"}

    @staticmethod
    def output_cycles(config):
        return 6 if config.mantissa_bits <= TABLE_BITS else 8

    @property
    def code_bits(self):
        # A code is an exponential.
        return self.config.exp_fraction_bits + 1

    @property
    def stored_bits(self):
        # Of the reference, its octave is enough.
        return self.config.axis.octave_bits

    # First pass ----------------------------------------------------------------------------------

    def _references(self, m, positions):
        axis = self.config.axis
        maximum = self._maximum(m, positions)
        octave = Signal(axis.octave_bits)
        with m.If(maximum.update):
            m.d.sync += octave.eq(axis.octave(maximum.candidate))
        self.reference = Cat(Const(0, axis.fraction_bits), octave)
        return octave, self._risen(m, octave)

    def _codes(self, m, distances):
        """Exponentials; 0 for elements that take no part."""
        config = self.config
        f = config.position_fraction_bits
        near = (len(config.exponentials) - 1).bit_length()
        live = self.lives[self.at.distance]
        terms = []
        for k, distance in enumerate(distances):
            if _near(config):
                word = lookup(m, distance[:near], config.exponentials, name=f"term_word_{k}")
            else:
                # A fraction of 0 counts no octave more, the others do.
                fraction = distance[:f]
                word = lookup(m, (-fraction)[:f], config.fractions, name=f"fraction_{k}")
                amount = (distance + ((1 << f) - 1)) >> f
                word = shift_right(m, word, amount[:near - f + 1])
            term = Signal(self.code_bits, name=f"term_{k}", reset_less=True)
            with m.If(live[k] & ~distance[near:].any()):
                m.d.sync += term.eq(word)
            with m.Else():
                m.d.sync += term.eq(0)
            terms.append(term)
        return terms

    def _beat_sum(self, m, codes, distances):
        config = self.config
        m.submodules.beat_sum = tree = AdderTree(self.code_bits, config.lanes,
                                                 largest=1 << config.exp_fraction_bits,
                                                 levels=levels(config))
        m.d.comb += [operand.eq(term) for operand, term in zip(tree.i, codes, strict=True)]
        return tree.o[config.exp_fraction_bits - config.sum_fraction_bits:]

    # Second pass ---------------------------------------------------------------------------------

    def _late_code(self, m, rise):
        bits = self.code_bits.bit_length()
        return Mux(rise[bits:].any(), (1 << bits) - 1, rise[:bits])[:bits]

    def _outputs(self, m, late, result):
        config = self.config
        wait = self.output_cycles(config) - 4
        late = delays(m, late, wait - 1, "late")[-1]
        terms = delays(m, self.read.code.as_value(), wait, "read_terms")[-1]
        factor = self._factor(m, result)
        one, width = 1 << (config.out_bits - 1), self.code_bits
        outputs = []
        for k in range(config.lanes):
            term = Signal(width, name=f"late_term_{k}", reset_less=True)
            product = Signal(width + len(factor), name=f"product_{k}", reset_less=True)
            scaled = Signal(len(product) + 1, name=f"scaled_{k}", reset_less=True)
            output = Signal(config.out_bits, name=f"output_{k}")
            m.d.sync += [
                term.eq(shift_right(m, terms.word_select(k, width), late)),
                product.eq(term * factor),
                scaled.eq(product + (1 << config.output_shift >> 1)),
            ]
            quotient = scaled >> config.output_shift
            m.d.sync += output.eq(Mux(quotient >= one, one, quotient))
            outputs.append(output)
        return outputs

    def _factor(self, m, index):
        """Reciprocal of the sum, shifted left by what its place is below the highest."""
        config = self.config
        bits, width = config.mantissa_bits, config.reciprocal_fraction_bits + 1
        mantissa, place = index[:bits], index[bits:]
        reciprocal = Signal(width)
        if bits <= TABLE_BITS:
            m.d.sync += reciprocal.eq(lookup(m, mantissa, config.reciprocals, name="reciprocal"))
            place = delays(m, place, 1, "place")[-1]
        else:
            ends, top = config.segment_ends, (config.reciprocal_segments - 1).bit_length()
            falls = [high - low for high, low in zip(ends[:-1], ends[1:], strict=True)]
            segment, rest = mantissa[bits - top:], mantissa[:bits - top]
            high, fall, below = (Signal(max(ends).bit_length()), Signal(max(falls).bit_length()),
                                 Signal(bits - top))
            m.d.sync += [high.eq(lookup(m, segment, ends[:-1], name="high")),
                         fall.eq(lookup(m, segment, falls, name="fall")), below.eq(rest)]
            product = Signal(len(fall) + len(below), name="fall_product")
            m.d.sync += product.eq(fall * below)
            start = delays(m, high, 1, "high")[-1] << (bits - top)
            m.d.sync += reciprocal.eq((start - product + (2 << (bits - top))) >> (bits - top + 2))
            place = delays(m, place, 3, "place")[-1]
        highest = config.factor_shift
        factor = Signal(width + highest)
        shifted = Cat(Const(0, highest), reciprocal)
        m.d.sync += factor.eq(shift_right(m, shifted, place))
        return factor
