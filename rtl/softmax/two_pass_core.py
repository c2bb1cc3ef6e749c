"""Hardware of the methods that sum relative to a final maximum, and read a row twice."""

import typing

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data

from ..blocks.adder_tree import AdderTree
from ..blocks.maximum import RunningMax
from ..blocks.pipeline import delays
from ..stream.row_buffer import LATENCY, RowBuffer
from ..stream.row_unit import RowDatapath

__all__ = ["Schedule", "Stages", "TwoPassDatapath"]

# From this many lanes on, the digit-wise maximum is smaller than the tree.
RADIX_LANES = 8


def _search(config):
    """How :class:`rtl.blocks.maximum.RunningMax` searches a beat."""
    return {"radix": config.lanes >= RADIX_LANES, "relaxed": True}


class Stages(typing.NamedTuple):
    """Cycles that a method takes, from one register to the next."""

    #: From a beat read out of the first store to its terms and codes.
    terms: int
    #: From the sum of a row to the row's result.
    result: int
    #: From a beat read out of the second store, with the row's result, to the output.
    outputs: int


class Schedule:
    """Pipeline stages: cycles after a row's only beat is accepted until a register holds its part.

    Either store is written as late as possible: a beat that is read meets what its row was waiting
    for in the cycle in which that is known.
    """

    def __init__(self, config):
        stages = config.stages
        self.candidates = RunningMax.stages(config.bits, config.lanes, **_search(config))
        self.maximum = self.candidates + 1
        self.write = max(self.maximum - 1, 1)
        self.read = self.write + LATENCY
        self.term = self.read + stages.terms
        self.beat_sum = self.term + AdderTree.stages(config.lanes, levels=1)
        self.sum = self.beat_sum + 1
        self.result = self.sum + stages.result
        self.late_write = max(self.result - 1, self.term)
        self.late_read = self.late_write + LATENCY
        self.output = self.late_read + stages.outputs


class TwoPassDatapath(RowDatapath):
    """Maximum, terms relative to it and their sum, outputs made of the terms and the sum.

    First store: logits, until the row's maximum is known. Second store: a code of each element,
    until the row's result is known, which is a function of the sum.

    A subclass says the shape of a code (:attr:`code_shape`), the largest term
    (:attr:`largest_term`), and makes :meth:`terms`, :meth:`result` and :meth:`outputs`, which take
    as many cycles as ``config.stages`` says.
    """

    #: Shape of what is stored of an element during the second pass.
    code_shape = None
    #: Largest term of an element.
    largest_term = None

    def __init__(self, config):
        super().__init__(config)
        self.at = Schedule(config)

    def terms(self, m, distances, live):
        """Terms and codes of a beat's elements; both 0 where an element takes no part."""
        raise NotImplementedError

    def result(self, m, total):
        """Result of a row, from its sum."""
        raise NotImplementedError

    def outputs(self, m, codes, result):
        """Output registers of a beat, from its codes and its row's result."""
        raise NotImplementedError

    @classmethod
    def schedule(cls, config):
        """Schedule of the pipeline for a configuration."""
        return Schedule(config)

    def _first_pass(self, m):
        """Buffer of the beats behind their row's maximum, and distances of the beat on its output.
        """
        config, at = self.config, self.at
        valids = delays(m, self.valid, max(at.write, at.maximum), "valid")
        ends = delays(m, self.valid & self.end, max(at.write, at.maximum), "end")
        m.submodules.logits = rows = self._buffer(
            {"data": data.ArrayLayout(unsigned(config.bits), config.lanes),
             "live": config.lanes}, maximum=config.bits)
        m.d.comb += [
            rows.i.data.as_value().eq(delays(m, Cat(self._positions()), at.write, "logits")[-1]),
            rows.i.live.eq(delays(m, self.live, at.write, "live")[-1]),
            rows.i.keep.eq(delays(m, self.kept, at.write, "kept")[-1]),
            rows.i.last.eq(ends[at.write]), rows.write.eq(valids[at.write]),
            rows.maximum_i.eq(self._maximum(m, valids[at.candidates])),
            rows.maximum_push.eq(ends[at.maximum]),
        ]
        distances = []
        for k in range(config.lanes):
            distances.append(Signal(config.bits, name=f"distance_{k}"))
            m.d.comb += distances[-1].eq(rows.maximum - rows.o.data[k])
        return rows, distances

    def elaborate(self, platform):
        m = Module()
        config, at = self.config, self.at

        # Until the maximum is known.
        rows, distances = self._first_pass(m)

        # Until the sum is known.
        read = rows.o
        wait = max(at.late_write, at.result) - at.read
        valids = delays(m, rows.valid, wait, "read_valid")
        ends = delays(m, rows.valid & read.last, wait, "read_end")
        keeps = delays(m, read.keep, at.late_write - at.read, "read_keep")
        terms, codes = self.terms(m, distances, read.live)
        total = self._sum(m, terms, valids[at.beat_sum - at.read],
                          delays(m, rows.first, at.beat_sum - at.read, "read_first")[-1])
        # A cycle after the sum, what is made of it in a register is that of a whole row.
        self.row_ended = ends[at.sum + 1 - at.read] if wait > at.sum - at.read else None
        result = self.result(m, total)
        m.submodules.codes = late = self._buffer(
            {"code": data.ArrayLayout(self.code_shape, config.lanes)}, result=len(result))
        m.d.comb += [
            late.i.code.as_value().eq(delays(m, Cat(codes), at.late_write - at.term, "codes")[-1]),
            late.i.keep.eq(keeps[-1]),
            late.i.last.eq(ends[at.late_write - at.read]),
            late.write.eq(valids[at.late_write - at.read]),
            late.result_i.eq(result), late.result_push.eq(ends[at.result - at.read]),
            self.leaving.eq(late.leaving),
        ]

        # The outputs.
        outputs = self.outputs(m, [late.o.code[k] for k in range(config.lanes)], late.result)
        cycles = config.stages.outputs
        m.d.comb += [
            *(element.eq(output) for element, output in zip(self.o.data, outputs, strict=True)),
            self.o.keep.eq(delays(m, late.o.keep, cycles, "late_keep")[-1]),
            self.o.last.eq(delays(m, late.o.last, cycles, "late_last")[-1]),
            self.o_valid.eq(delays(m, late.valid, cycles, "late_valid")[-1]),
        ]
        return m

    def _buffer(self, members, **words):
        """Buffer of beats with these members, and words of their row."""
        config = self.config
        layout = data.StructLayout({**members, "keep": config.lanes, "last": 1})
        return RowBuffer(layout, config.max_beats, config.max_rows, words=words,
                         memory=config.memory)

    def _positions(self):
        """Logits in offset binary, which orders them without a sign."""
        sign = 1 << (self.config.bits - 1)
        return [(x.as_unsigned() ^ sign)[:self.config.bits] for x in self.data]

    def _maximum(self, m, valid):
        """Running maximum of a row."""
        config, at = self.config, self.at
        m.submodules.maximum = maximum = RunningMax(config.bits, config.lanes, **_search(config))
        m.d.comb += [
            *(word.eq(x) for word, x in zip(maximum.data, self._positions(), strict=True)),
            maximum.live.eq(self.live), maximum.valid.eq(valid),
            maximum.first.eq(delays(m, self.first, at.candidates, "first")[-1]),
        ]
        return maximum.o

    def _sum(self, m, terms, valid, first):
        """Sum of the row so far."""
        config = self.config
        width = self.largest_term.bit_length()
        m.submodules.beat_sum = tree = AdderTree(width, config.lanes,
                                                largest=self.largest_term, levels=1)
        m.d.comb += [operand.eq(term) for operand, term in zip(tree.i, terms, strict=True)]
        total = Signal((config.max_length * self.largest_term).bit_length())
        with m.If(valid):
            m.d.sync += total.eq(tree.o + Mux(first, 0, total))
        return total
