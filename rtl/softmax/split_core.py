"""Hardware of the split softmax."""

from amaranth import Cat, Const, Signal

from ..blocks.barrel_shift import shift_right
from ..blocks.block_table import BlockTable
from ..blocks.divider import Divider, SerialDivider
from ..blocks.leading_one import normalised
from ..blocks.lookup import lookup
from ..blocks.pipeline import delays
from .two_pass_core import Stages, TwoPassDatapath

__all__ = ["SplitDatapath", "stages"]

# Steps of the division of 1 between two registers.
STEPS = 2


# Distances of up to this many bits are looked up as a whole: that takes no more LUTs than two
# tables do, and no multiplication.
WHOLE_BITS = 7


def _whole(config):
    return (len(config.exponentials) - 1).bit_length() <= WHOLE_BITS


def stages(config):
    """Cycles of the method."""
    terms = 1 if _whole(config) else 3
    if config.order == "weight":
        return Stages(terms, 0, Divider.stages(config.out_bits + 1) + 1)
    if config.reciprocal == "table":
        reciprocal = BlockTable.latency
    elif config.min_length > 1:
        reciprocal = config.row_interval
    else:
        reciprocal = Divider.stages(config.reciprocal_bits, STEPS)
    return Stages(terms, 1 + reciprocal, 4)


class SplitDatapath(TwoPassDatapath):
    """Datapath of the split softmax.

    First pass: maximum. Second pass: exponentials, as products of two table words, and their sum.
    Third pass: division, or multiplication by the reciprocal.
    """

    @property
    def largest_term(self):
        return 1 << self.config.fraction_bits

    @property
    def code_shape(self):
        return self.config.fraction_bits + 1

    def terms(self, m, distances, live):
        config = self.config
        terms = []
        if _whole(config):
            bits = (len(config.exponentials) - 1).bit_length()
            for k, distance in enumerate(distances):
                term = Signal(self.code_shape, name=f"term_{k}", reset_less=True)
                with m.If(live[k] & ~distance[bits:].any()):
                    m.d.sync += term.eq(lookup(m, distance[:bits], config.exponentials,
                                               name=f"term_word_{k}"))
                with m.Else():
                    m.d.sync += term.eq(0)
                terms.append(term)
            return terms, terms
        for k, distance in enumerate(distances):
            low = Signal(config.table_bits + 1, name=f"low_{k}", reset_less=True)
            high = Signal(config.table_bits + 1, name=f"high_{k}", reset_less=True)
            product = Signal(len(low) + len(high), name=f"exponent_product_{k}", reset_less=True)
            shift = 2 * config.table_bits - config.fraction_bits
            term = Signal(len(product) + 1, name=f"term_{k}", reset_less=True)
            m.d.sync += low.eq(lookup(m, distance[:config.low_bits], config.low,
                                      name=f"low_word_{k}"))
            with m.If(live[k]):
                m.d.sync += high.eq(lookup(m, distance[config.low_bits:], config.high,
                                           name=f"high_word_{k}"))
            with m.Else():
                m.d.sync += high.eq(0)
            m.d.sync += [product.eq(high * low),
                         term.eq(product + (1 << (shift - 1)))]
            terms.append(term[shift:][:self.code_shape])
        return terms, terms

    def result(self, m, total):
        config = self.config
        if config.order == "weight":
            # A sum is at least 1, but for a fully masked row, whose zeros must not be divided by 0.
            whole = total[config.fraction_bits:]
            return Cat(total[:config.fraction_bits], whole[0] | ~whole.any(), whole[1:])
        bits = config.reciprocal_bits
        place, mantissa = (delays(m, value, 1, name)[-1] for value, name in zip(
            normalised(m, total, config.fraction_bits, bits), ("place", "mantissa"), strict=True))
        if config.reciprocal == "table":
            words = [config.reciprocal_of(i) for i in range(1 << bits)]
            m.submodules.reciprocals = table = BlockTable(words, bits + 1, 1)
            m.d.comb += table.index[0].eq(mantissa)
            reciprocal, wait = table.o[0], table.latency
        else:
            if config.min_length > 1:
                divider = SerialDivider(bits + 1, bits)
                m.d.comb += divider.start.eq(self.row_ended)
            else:
                divider = Divider(bits + 1, bits, steps=STEPS)
            m.submodules.divider = divider
            m.d.comb += [divider.n.eq(1 << bits), divider.d.eq(Cat(mantissa, Const(1, 1)))]
            reciprocal, wait = divider.o, divider.latency
        return Cat(reciprocal, delays(m, place, wait, "place_waiting")[-1])

    def outputs(self, m, codes, result):
        return (self._divided if self.config.order == "weight" else self._scaled)(m, codes, result)

    def _divided(self, m, codes, total):
        """Exponentials over the sum."""
        w = self.config.out_bits
        outputs = []
        for k, code in enumerate(codes):
            m.submodules[f"divider_{k}"] = divider = Divider(len(total), w + 1)
            m.d.comb += [divider.n.eq(code), divider.d.eq(total)]
            outputs.append(self._saturated(m, (divider.o + 1) >> 1, k))
        return outputs

    def _scaled(self, m, codes, result):
        """Exponentials times the reciprocal."""
        config = self.config
        width = config.reciprocal_bits + 1
        highest = config.sum_bits - 1 - config.fraction_bits
        factor = Signal(width + highest)
        m.d.sync += factor.eq(shift_right(m, Cat(Const(0, highest), result[:width]),
                                          result[width:]))
        outputs = []
        for k, code in enumerate(codes):
            code = delays(m, code, 1, f"code_{k}")[-1]
            product = Signal(len(code) + len(factor), name=f"product_{k}", reset_less=True)
            scaled = Signal(len(product) + 1, name=f"scaled_{k}", reset_less=True)
            m.d.sync += [product.eq(code * factor),
                         scaled.eq(product + (1 << config.output_shift >> 1))]
            outputs.append(self._saturated(m, scaled >> config.output_shift, k))
        return outputs

    def _saturated(self, m, value, lane):
        """An output, registered, of at most ``2**w - 1``."""
        w = self.config.out_bits
        output = Signal(w, name=f"output_{lane}", reset_less=True)
        with m.If(value[w:].any()):
            m.d.sync += output.eq((1 << w) - 1)
        with m.Else():
            m.d.sync += output.eq(value[:w])
        return output
