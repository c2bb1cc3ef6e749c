"""Skeleton of the methods whose terms are relative to a reference that runs with the row."""

import dataclasses
import typing

from amaranth import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data

from ..blocks.online_sum import OnlineSum
from ..blocks.pipeline import delays
from ..stream.row_buffer import LATENCY, RowBuffer
from ..stream.row_unit import RowDatapath
from ..stream.row_words import RowWord
from .row_sum import RowSum
from .sink import with_sink

__all__ = ["CodedBeat", "OnlineDatapath", "OnlineMethod", "Reference", "Schedule", "StoredBeat"]


class OnlineMethod(typing.NamedTuple):
    """Method on one pass: a kind of code, and two stages.

    A stage is an object with a ``latency`` (cycles from its inputs to its results, 0 for none) that
    adds its logic to a module when it is called. It takes a beat, or a row, per cycle, and never
    stalls.
    """

    #: Kind of code: what an element becomes in the first pass, and what it adds to the sum. An
    #: object such as :class:`~rtl.softmax.input_codes.InputCodes`; :class:`OnlineDatapath` lists
    #: its attributes.
    codes: typing.Any
    #: ``result(m, row)``: result of a row, one Value, from a :class:`~rtl.softmax.row_sum.RowSum`;
    #: as a rule a :class:`~rtl.softmax.row_sum.NormalisedSum`.
    result: typing.Any
    #: ``outputs(m, beat)``: output of each lane, a list of registered Values of ``config.out_bits``
    #: bits, from a :class:`StoredBeat`.
    outputs: typing.Any


@dataclasses.dataclass(frozen=True)
class Reference:
    """Reference of the row so far, ``codes.reference_latency`` cycles after the candidate for the
    maximum.

    Attributes
    ----------
    position : Value(grid.reference_bits)
        Position that distances are taken to.
    level : Value
        What the sum is relative to; of its rises, the kind of code makes shifts of the sum.
    stored : Value(codes.stored_bits)
        What is stored with a beat, to tell how far the reference has risen since.
    """

    position: Value
    level: Value
    stored: Value


@dataclasses.dataclass(frozen=True)
class CodedBeat:
    """Signals of a beat that the first pass offers to a kind of code.

    Attributes
    ----------
    distances : list of Signal(grid.reference_bits)
        Distance of each summand's position to the reference; undefined where not live.
    live : Value(summands)
        The element takes part: with the distances.
    live_coded : Value(summands)
        The same a cycle later: with the codes.
    """

    distances: list
    live: Value
    live_coded: Value


@dataclasses.dataclass(frozen=True)
class StoredBeat:
    """Signals of a beat that is read in the second pass.

    Attributes
    ----------
    codes : ArrayLayout(codes.bits, lanes)
        Codes as they were stored.
    dead : Value(lanes) or None
        The element takes no part; None unless ``codes.flagged``.
    late : Value
        What the codes lack by now, of ``codes.late``: a cycle after them.
    result : Value
        Result of the row: a cycle after the codes.
    """

    codes: data.View
    dead: Value | None
    late: Value
    result: Value

    def codes_later(self, m, cycles):
        """Code of each lane, ``cycles`` cycles later."""
        return [delays(m, code, cycles, f"read_code_{k}")[-1]
                for k, code in enumerate(self.codes)]


class Schedule:
    """Cycles after a beat is accepted until a register holds what it became.

    Rows are written as late as their result allows: a row's first beat is read so that it meets
    that in the cycle in which it is known.
    """

    def __init__(self, config, method):
        codes, partial_sums = method.codes, config.partial_sums
        self.position = codes.position.latency
        self.candidates = self.position + codes.search.latency
        self.reference = self.candidates + codes.reference_latency
        self.distance = self.reference + codes.distance.latency
        self.code = self.distance + 1
        self.tree = self.code + codes.sum.latency
        self.rise = max(self.distance, self.tree - OnlineSum.lead(partial_sums))
        self.beat_sum = self.rise + OnlineSum.lead(partial_sums)
        self.sum = self.beat_sum + partial_sums
        self.result = self.sum + method.result.latency
        self.write = max(self.result - LATENCY, self.code)
        self.read = self.write + LATENCY
        self.output = self.read + method.outputs.latency


class OnlineDatapath(RowDatapath):
    """Running reference, codes relative to it and their sum; outputs made of codes and sum.

    First pass, as a row comes: the reference ``r``, at or above the maximum so far; the code of
    each distance ``r - x`` to it, which is stored; the sum ``S = (S >> rise of r) + beat's sum``.
    Second pass: outputs made of the codes, of what they lack since ``r`` has risen (``late``), and
    of the row's result, which is a function of ``S``.

    A method is a config class with ``running = True`` whose
    :attr:`~rtl.softmax.config.SoftmaxConfig.method` is an :class:`OnlineMethod`; the config has a
    ``grid`` (:mod:`rtl.softmax.grid`), ``partial_sums``, ``pipeline`` and ``sum_bits``. The kind of
    code of the method has

    ==================================  ===========================================================
    ``position``, ``distance``          stages :class:`~rtl.softmax.positions.Positions` and
                                        :class:`~rtl.softmax.positions.Distances`
    ``search``                          :class:`~rtl.softmax.search.MaximumSearch`
    ``bits``, ``stored_bits`` : int     width of a code; of what is stored of the reference
    ``flagged`` : bool                  elements that take no part need a flag beside their code
    ``searched(positions)``             words to take the maximum of
    ``reference(m, maximum)``           :class:`Reference` for the running maximum
    ``reference_latency`` : int         cycles from the candidate for the maximum to its reference
    ``rise(m, risen)``                  shift of the sum for a rise of ``level``, combinational
    ``encode(m, beat)``                 code of each summand, a cycle after the distances
    ``sum(m, beat, codes)``             stage: what a :class:`CodedBeat` adds to the sum; its
                                        latency counts from the codes
    ``late(m, rise)``                   what codes lack for a rise of ``stored``, combinational
    ==================================  ===========================================================

    Latency :meth:`latency_of` cycles whatever the length of a row; throughput one beat per cycle,
    rows back to back.

    Parameters
    ----------
    config : SoftmaxConfig
        Configuration of the unit.
    method : OnlineMethod
        Kind of code and stages of the method.
    """

    #: Stores that hold a row until it is complete, one behind the other.
    passes = 1

    def __init__(self, config, method):
        super().__init__(config)
        self.method = method

    @staticmethod
    def latency_of(config, method):
        """Cycles from the last beat of a row accepted to its first beat valid."""
        return Schedule(config, method).output

    def elaborate(self, platform):
        m = Module()
        config, method = self.config, self.method
        codes, at = method.codes, Schedule(config, method)
        longest = max(at.write, at.result)
        valids = delays(m, self.valid, longest, "valid")
        firsts = delays(m, self.first, at.beat_sum, "first")
        ends = delays(m, self.valid & self.end, longest, "end")
        elements, live = with_sink(m, config, self)
        lives = delays(m, live, at.code, "live")

        # First pass: references, codes and sum.
        positions, waiting = codes.position(m, elements, at.reference - at.position)
        maximum = codes.search(m, codes.searched(positions), lives[at.position],
                               valids[at.candidates], firsts[at.candidates])
        reference = codes.reference(m, maximum)
        rise = codes.rise(m, self._risen(m, reference.level, valids[at.reference],
                                         codes.distance.latency))
        distances = codes.distance(m, reference.position, waiting)
        coded = CodedBeat(distances, lives[at.distance], lives[at.code])
        words = codes.encode(m, coded)
        beat_sum = delays(m, codes.sum(m, coded, words), at.beat_sum - at.tree, "beat_sum")[-1]
        m.submodules.sum = total = OnlineSum(len(beat_sum), config.sum_bits, len(rise),
                                             partial=config.partial_sums)
        m.d.comb += [
            total.valid.eq(valids[at.rise]), total.first.eq(firsts[at.rise]),
            total.rise.eq(delays(m, rise, at.rise - at.distance, "rise")[-1]),
            total.i_valid.eq(valids[at.beat_sum]), total.i_first.eq(firsts[at.beat_sum]),
            total.i.eq(beat_sum),
        ]
        result = method.result(m, RowSum(total.o, ends[at.sum:]))

        # Beats wait for the end of their row.
        words_of_row = {
            "reference": RowWord(codes.stored_bits, 0, short_path=config.pipeline == "deep"),
            "result": RowWord(len(result), at.result - at.write, late=True)}
        rows = RowBuffer(self._stored_layout, config.max_beats, words_of_row,
                         max_rows=config.max_rows, memory=config.memory)
        m.submodules.rows = rows
        m.d.comb += [
            rows.i.code.as_value().eq(
                delays(m, Cat(words[:config.lanes]), at.write - at.code, "codes")[-1]),
            rows.i.reference.eq(
                delays(m, reference.stored, at.write - at.reference, "references")[-1]),
            rows.i.keep.eq(delays(m, self.kept, at.write, "kept")[-1]),
            rows.i.last.eq(ends[at.write]), rows.write.eq(valids[at.write]),
            # The last beat's reference is the row's.
            rows.reference_i.eq(rows.i.reference), rows.result_i.eq(result),
        ]
        if codes.flagged:
            m.d.comb += rows.i.dead.eq(
                delays(m, ~lives[at.code][:config.lanes], at.write - at.code, "dead")[-1])

        # Second pass: outputs.
        read = rows.o
        since = (rows.reference - read.reference)[:codes.stored_bits]
        late = delays(m, codes.late(m, since), 1, "late")[-1]
        outputs = method.outputs(m, StoredBeat(
            read.code, read.dead if codes.flagged else None, late, rows.result))
        cycles = method.outputs.latency
        m.d.comb += [
            *(element.eq(output) for element, output in zip(self.o.data, outputs, strict=True)),
            self.o.keep.eq(delays(m, read.keep, cycles, "read_keep")[-1]),
            self.o.last.eq(delays(m, read.last, cycles, "read_last")[-1]),
            self.o_valid.eq(delays(m, rows.valid, cycles, "read_valid")[-1]),
            self.leaving.eq(rows.leaving),
        ]
        return m

    @property
    def _stored_layout(self):
        """What is kept of a beat until its row is complete."""
        lanes, codes = self.config.lanes, self.method.codes
        return data.StructLayout({
            "code": data.ArrayLayout(codes.bits, lanes),
            **({"dead": unsigned(lanes)} if codes.flagged else {}),
            "reference": unsigned(codes.stored_bits),
            "keep": unsigned(lanes), "last": unsigned(1)})

    @staticmethod
    def _risen(m, level, valid, wait):
        """Rise of ``level`` with each beat, ``wait`` cycles later; ``valid`` comes with it."""
        before = Signal.like(level, name="level_before")
        with m.If(valid):
            m.d.sync += before.eq(level)
        return delays(m, (level - before)[:len(level)], wait, "risen")[-1]
