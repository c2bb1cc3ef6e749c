"""Skeleton of the methods whose terms are relative to a row's final maximum."""

import typing

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data

from ..blocks.adder_tree import AdderTree
from ..blocks.pipeline import delays
from ..stream.row_buffer import LATENCY
from ..stream.row_unit import RowDatapath
from ..stream.row_words import RowWord
from .final_maximum import FinalMaximum, beat_buffer
from .row_sum import RowSum

__all__ = ["Schedule", "TwoPassDatapath", "TwoPassMethod"]


class TwoPassMethod(typing.NamedTuple):
    """Method on two passes: three stages.

    A stage is an object with a ``latency`` (cycles from its inputs to its results, 0 for none) that
    adds its logic to a module when it is called. It takes a beat, or a row, per cycle, and never
    stalls.
    """

    #: ``terms(m, distances, live)``: term and code of each summand, two lists of Values; both 0
    #: where ``live`` is 0. ``distances`` is a list of Signals of ``config.bits`` bits.
    #: ``terms.largest`` is the largest term (int), ``terms.code_shape`` the shape of a code, which
    #: is what is kept of an element until the row's sum is known.
    terms: typing.Any
    #: ``result(m, row)``: result of a row, one Value, from a :class:`~rtl.softmax.row_sum.RowSum`.
    result: typing.Any
    #: ``outputs(m, codes, result)``: output of each lane, a list of registered Values of
    #: ``config.out_bits`` bits, from the codes of a beat and its row's result.
    outputs: typing.Any


class Schedule:
    """Cycles after a row's only beat is accepted until a register holds its part.

    Either store is written as late as possible: a beat that is read meets what its row was waiting
    for in the cycle in which that is known.
    """

    def __init__(self, config, method):
        self.read = FinalMaximum(config).latency
        self.term = self.read + method.terms.latency
        self.beat_sum = self.term + AdderTree.stages(config.summands, levels=1)
        self.sum = self.beat_sum + 1
        self.result = self.sum + method.result.latency
        self.late_write = max(self.result - 1, self.term)
        self.late_read = self.late_write + LATENCY
        self.output = self.late_read + method.outputs.latency


class TwoPassDatapath(RowDatapath):
    """Maximum of a row; terms relative to it and their sum; outputs made of terms and sum.

    ``y_i = outputs(code(m - x_i), result(S))`` with ``m = max_i x_i`` and ``S = sum_i term(m -
    x_i)``. The first store holds logits until the row's maximum is known; the second one holds a
    code of each element until the row's result is known.

    A method is a config class whose :attr:`~rtl.softmax.config.SoftmaxConfig.method` is a
    :class:`TwoPassMethod`: three stages, plain objects that this skeleton calls in order, once, and
    connects by registers; they add signals and submodules to this component's module, under names
    of their own. Shared stages: :class:`~rtl.softmax.exponent_product.ProductTerms` (exponentials),
    :class:`~rtl.softmax.row_sum.NormalisedSum` (place and mantissa of a sum).

    Latency :meth:`latency_of` cycles for a row of one beat, and a cycle more for each further beat
    that a row has; throughput one beat per cycle, rows back to back.

    Parameters
    ----------
    config : SoftmaxConfig
        Configuration of the unit.
    method : TwoPassMethod
        Stages of the method.
    """

    #: Stores that hold a row until it is complete, one behind the other.
    passes = 2

    def __init__(self, config, method):
        super().__init__(config)
        self.method = method

    @staticmethod
    def latency_of(config, method):
        """Cycles from the last beat of a row of one beat accepted to its first beat valid."""
        return Schedule(config, method).output

    def elaborate(self, platform):
        m = Module()
        config, method = self.config, self.method
        at = Schedule(config, method)

        # Until the maximum is known.
        rows, distances = FinalMaximum(config)(m, self)

        # Until the sum is known.
        read = rows.o
        wait = max(at.late_write, at.result) - at.read
        valids = delays(m, rows.valid, wait, "read_valid")
        ends = delays(m, rows.valid & read.last, wait, "read_end")
        keeps = delays(m, read.keep, at.late_write - at.read, "read_keep")
        terms, codes = method.terms(m, distances, read.live)
        total = self._sum(m, terms, valids[at.beat_sum - at.read],
                          delays(m, rows.first, at.beat_sum - at.read, "read_first")[-1])
        result = method.result(m, RowSum(total, ends[at.sum - at.read:]))
        m.submodules.codes = late = beat_buffer(
            config, {"code": data.ArrayLayout(method.terms.code_shape, config.lanes)},
            result=RowWord(len(result), at.result - at.late_write, short_path=True))
        m.d.comb += [
            late.i.code.as_value().eq(
                delays(m, Cat(codes[:config.lanes]), at.late_write - at.term, "codes")[-1]),
            late.i.keep.eq(keeps[-1]),
            late.i.last.eq(ends[at.late_write - at.read]),
            late.write.eq(valids[at.late_write - at.read]), late.result_i.eq(result),
            self.leaving.eq(late.leaving),
        ]

        # The outputs.
        outputs = method.outputs(m, [late.o.code[k] for k in range(config.lanes)], late.result)
        cycles = method.outputs.latency
        m.d.comb += [
            *(element.eq(output) for element, output in zip(self.o.data, outputs, strict=True)),
            self.o.keep.eq(delays(m, late.o.keep, cycles, "late_keep")[-1]),
            self.o.last.eq(delays(m, late.o.last, cycles, "late_last")[-1]),
            self.o_valid.eq(delays(m, late.valid, cycles, "late_valid")[-1]),
        ]
        return m

    def _sum(self, m, terms, valid, first):
        """Sum of the row so far. It can not overflow: ``max_terms`` times the largest term."""
        config, largest = self.config, self.method.terms.largest
        m.submodules.beat_sum = tree = AdderTree(largest.bit_length(), config.summands,
                                                 largest=largest, levels=1)
        m.d.comb += [operand.eq(term) for operand, term in zip(tree.i, terms, strict=True)]
        total = Signal((config.max_terms * largest).bit_length())
        with m.If(valid):
            m.d.sync += total.eq(tree.o + Mux(first, 0, total))
        return total
