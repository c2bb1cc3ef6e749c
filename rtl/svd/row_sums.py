"""Products of the rows of a matrix, as they come from a memory, with a vector."""

import enum

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.pipeline import delays
from ..blocks.products import DotProduct
from ..fixed import signed_width

__all__ = ["Pass", "RowSums"]


class Pass(enum.IntEnum):
    """What the rows are: it says how they lie in memory words (:mod:`rtl.svd.image`)."""

    PREVIEW = 0
    TAIL = 1
    BASIS = 2


class RowSums(wiring.Component):
    """Sum of the products of each row with a vector, ``lanes`` products per cycle.

    A pass starts with ``start``. Each cycle takes a part of a memory word: as many weights as there
    are lanes, of one byte or of two. A row ends with its last part, and the next one starts with a
    new memory word. Words of biases or records come in between.

    Latency :attr:`latency` cycles from ``ends`` to ``done``; throughput one part per cycle; stalls
    only without words.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    start : In(1)
        A pass starts with the next word. Not while a row is on its way.
    kind : In(Pass)
        What the rows are; held from ``start`` on.
    parts : In(range(config.vector_words + 1))
        Parts of a row; 0: the row takes no memory words, and its sum is 0. Held from ``start`` on.
    base : In(range(config.vector_words))
        Word of the vector that meets a row's first part.
    enable : In(1)
        A part may be taken.
    words : In(stream.Signature(config.port_bits))
        Words of the memory.
    read : Out(range(config.vector_words))
        Word of the vector to read.
    vector : In(ArrayLayout(signed(config.hidden_bits), config.lanes))
        That word, a cycle later.
    ends : Out(1)
        The last part of a row is taken.
    record : Out(64)
        Bias or record of the row, with ``ends``.
    total : Out(signed(config.row_bits))
        Sum of a row, with ``done``.
    done : Out(1)
        Pulses for each row.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "start": In(1), "kind": In(Pass), "parts": In(range(config.vector_words + 1)),
            "base": In(range(config.vector_words)), "enable": In(1),
            "words": In(stream.Signature(unsigned(config.port_bits))),
            "read": Out(range(config.vector_words)),
            "vector": In(data.ArrayLayout(signed(config.hidden_bits), config.lanes)),
            "ends": Out(1), "record": Out(64), "total": Out(signed(config.row_bits)),
            "done": Out(1),
        })

    @property
    def latency(self):
        """Cycles from ``ends`` to ``done``."""
        return DotProduct.stages(self.config.lanes) + 2

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lanes, size = config.lanes, config.port_bytes
        word = self.words.payload
        rest = config.image.block_rows - 1

        # Place in the sequence of words: record or row, part of the row, part of the word.
        record = Signal(config.port_bits)
        recorded = Signal()
        place = Signal(range(config.vector_words))
        piece = Signal(range(size))
        last_piece = Signal(range(size))
        row = Signal(range(config.image.block_rows))
        take = Signal()
        final = Signal()
        pop = Signal()
        last = Signal.like(self.parts)
        empty = self.parts == 0
        wide = self._wide()
        m.d.sync += last.eq(self.parts - 1)
        m.d.comb += [
            last_piece.eq(Mux(wide, size // 2 // config.wide_lanes - 1, size // lanes - 1)),
            take.eq(self.enable & recorded & (self.words.valid | empty)),
            final.eq((place == last) | empty),
            pop.eq(take & ~empty & (final | (piece == last_piece))),
            self.words.ready.eq(pop | ~recorded),
            self.ends.eq(take & final), self.record.eq(record),
            self.read.eq(self.base + place),
        ]
        with m.If(take):
            m.d.sync += [place.eq(Mux(final, 0, place + 1)), piece.eq(Mux(pop, 0, piece + 1))]
        with m.If(self.ends):
            m.d.sync += [row.eq(row + 1), record.eq(record >> 32)]
            with m.If((self.kind == Pass.BASIS) | ((self.kind == Pass.PREVIEW) & (row == rest))):
                m.d.sync += [recorded.eq(0), row.eq(0)]
        with m.If(~recorded & self.words.valid):
            m.d.sync += [record.eq(word), recorded.eq(1)]
        with m.If(self.start):
            m.d.sync += [recorded.eq(self.kind == Pass.TAIL), row.eq(0), place.eq(0), piece.eq(0)]

        self._sums(m, self._weights(m, piece, wide), take, place == 0, empty)
        return m

    def _wide(self):
        """Whether weights have two bytes."""
        return ((self.kind == Pass.BASIS)
                | ((self.kind == Pass.TAIL) & (self.config.image.tail_bytes == 2)))

    def _weights(self, m, piece, wide):
        """Weights of a part, a cycle later."""
        config, word = self.config, self.words.payload
        lanes, count = config.lanes, config.wide_lanes
        bytes_ = Signal(8 * lanes)
        m.d.comb += bytes_.eq(word.word_select(piece, 8 * lanes))
        pairs = Signal(16 * count)
        if config.weight_bits > 8:
            m.d.comb += pairs.eq(word.word_select(piece, 16 * count))
        weights = []
        for k in range(lanes):
            weight = Signal(signed(config.weight_bits), name=f"weight_{k}", reset_less=True)
            narrow = bytes_.word_select(k, 8).as_signed()
            if config.weight_bits > 8:
                pair = pairs.word_select(k, 16).as_signed() if k < count else 0
                m.d.sync += weight.eq(Mux(wide, pair, narrow))
            else:
                m.d.sync += weight.eq(narrow)
            weights.append(weight)
        return weights

    def _sums(self, m, weights, take, first, empty):
        """Sums of rows, from the weights of the part that was taken a cycle ago."""
        config = self.config
        m.submodules.dot = dot = DotProduct(signed(config.weight_bits),
                                            signed(config.hidden_bits), config.lanes)
        m.d.comb += [dot.a[k].eq(weight) for k, weight in enumerate(weights)]
        m.d.comb += [dot.b[k].eq(self.vector[k]) for k in range(config.lanes)]
        cycles = dot.latency + 1
        valid = delays(m, take, cycles, "taken")[-1]
        starts = delays(m, first, cycles, "starts")[-1]
        blank = delays(m, empty, cycles, "blank")[-1]
        term = Signal(signed(signed_width(-dot.offset, (1 << len(dot.o)) - 1 - dot.offset)))
        m.d.comb += term.eq(dot.o - dot.offset)
        with m.If(valid):
            # A row of no part takes its place in the pipeline with whatever stands there.
            m.d.sync += self.total.eq(Mux(blank, 0, term + Mux(starts, 0, self.total)))
        m.d.sync += self.done.eq(delays(m, self.ends, cycles, "ends")[-1])
