"""What the length of a row enters into: its reciprocal, its root and epsilon."""

import dataclasses
from fractions import Fraction

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.block_table import BlockTable
from ..blocks.lookup import lookup
from ..fixed import half_up
from ..tables import quotient_word, root

__all__ = ["LENGTH_BITS", "LengthTable", "Scale", "length_layout"]

# Fraction bits of square roots of the length, and the fewest of reciprocals: 1.0 up to 2.0.
LENGTH_BITS = 16

# Lengths from which on their table is worth a block RAM.
BLOCK_LENGTHS = 64


@dataclasses.dataclass(frozen=True)
class Scale:
    """What the length ``L`` of a row enters into.

    Attributes
    ----------
    reciprocal, shift : int
        ``1 / L`` is ``reciprocal * 2**-(config.reciprocal_bits + shift)``, rounded half up.
    root : Fraction
        Mantissa, at least 1 and less than 2, of what the root of the radicand is divided into.
    exponent : int
        The standard deviation is ``sqrt(W) * 2**exponent / root``, with ``W`` in the binary point
        of :attr:`~rtl.layernorm.config.LayerNormConfig.radicand_bits`.
    epsilon : int
        Added to the radicand.
    """

    reciprocal: int
    shift: int
    root: Fraction
    exponent: int
    epsilon: int

    @classmethod
    def of(cls, length, weight, reciprocal_bits, radicand_bits, epsilon):
        """Scale of a length whose radicand is the variance times ``weight``."""
        shift = (length - 1).bit_length()
        mantissa = root(weight / Fraction(4) ** (radicand_bits // 2 - 1))
        exponent = 0
        while mantissa < 1:
            mantissa, exponent = 2 * mantissa, exponent + 1
        while mantissa >= 2:
            mantissa, exponent = mantissa / 2, exponent - 1
        return cls(quotient_word(1 << (reciprocal_bits + shift), length), shift, mantissa,
                   exponent, epsilon)

    @property
    def root_word(self):
        """:attr:`root` with ``LENGTH_BITS`` fraction bits, rounded half up."""
        return half_up(self.root * (1 << LENGTH_BITS))


def length_layout(config):
    """Layout of what the table holds of a length; the reciprocal is negated, as the mean is."""
    return data.StructLayout({
        "reciprocal": signed(config.reciprocal_bits + 2), "shift": 4, "root": LENGTH_BITS + 1,
        "offset": max((config.largest_offset - config.least_offset).bit_length(), 1),
        "epsilon": config.epsilon_bits, "length": config.channels.bit_length()})


class LengthTable(wiring.Component):
    """What the length of a row enters into, from its last beat: where rows vary in length.

    Latency 3 cycles, throughput one row per cycle.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.

    Members
    -------
    kept : In(lanes)
        Lanes of the beat that carry an element: the low ones.
    index : In(range(config.max_beats))
        Number of the beat in its row.
    o : Out(length_layout(config))
        :class:`Scale` of the length, and the length.
    """

    #: Cycles from the beat to its length's words.
    LATENCY = 3

    def __init__(self, config):
        self.config = config
        super().__init__({
            "kept": In(config.lanes),
            "index": In(range(max(config.max_beats, 2))),
            "o": Out(length_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, kept, layout = self.config.lanes, self.kept, length_layout(self.config)
        # The highest lane that is kept, which the low bits of its number say one by one.
        lane = Cat(Cat(kept[k] & ~(kept[k + 1] if k + 1 < lanes else Const(0, 1))
                       for k in range(lanes) if k >> bit & 1).any()
                   for bit in range((lanes - 1).bit_length()))
        words = self._words(layout)
        address = Signal(range(max(len(words), 2)))
        word = Signal(layout)
        m.d.sync += address.eq(Cat(lane, self.index))
        m.d.comb += self.o.eq(word)
        style = self.config.memory
        if style == "block" or style == "auto" and len(words) > BLOCK_LENGTHS:
            m.submodules.words = table = BlockTable(words, layout.size, 1)
            m.d.comb += [table.index[0].eq(address), word.eq(table.o[0])]
        else:
            # Of contents that are only read, Yosys makes no LUT RAM: they are logic.
            read = Signal(layout)
            m.d.sync += [read.eq(lookup(m, address, words)), word.eq(read)]
        return m

    def _words(self, layout):
        """Words by the number of the beat and, in the low bits, the highest lane that is kept."""
        config = self.config
        words = []
        for beat in range(config.max_beats):
            for lane in range(1 << (config.lanes - 1).bit_length()):
                length = beat * config.lanes + lane + 1
                used = lane < config.lanes and length <= config.channels
                words.append(self._word(layout, length) if used else 0)
        return words

    def _word(self, layout, length):
        scale = self.config.scales[length]
        offset = self.config.exponent_offset(length) - self.config.least_offset
        return layout.const({
            "reciprocal": -scale.reciprocal, "shift": scale.shift, "root": scale.root_word,
            "offset": offset, "epsilon": scale.epsilon, "length": length}).as_value().value
