"""Hardware of the methods that sum relative to a running reference, and read a row once."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data

from ..blocks.adder_tree import LEVELS_PER_STAGE
from ..blocks.leading_one import normalised
from ..blocks.lookup import constant_multiple, lookup
from ..blocks.maximum import RunningMax
from ..blocks.online_sum import OnlineSum
from ..blocks.pipeline import delays
from ..fixed import round_shift
from ..stream.row_buffer import LATENCY, RowBuffer
from ..stream.row_unit import RowDatapath

__all__ = ["TABLE_BITS", "OnlineDatapath", "Schedule", "levels"]

# Functions of up to this many bits are looked up; wider ones are computed.
TABLE_BITS = 8


def levels(config):
    """Additions of a beat's sum between two registers."""
    return 1 if config.pipeline == "deep" else LEVELS_PER_STAGE


class Schedule:
    """Pipeline stages: how many cycles after a beat is accepted a register holds what it became.

    Rows are written as late as their result allows: a row's first beat is read so that it meets
    that in the cycle in which it is known.

    Parameters
    ----------
    position : int
        Cycles from the logits to their positions.
    candidates : int
        From there to what the maximum is chosen from.
    distance : int
        From the reference to the distances.
    code : int
        From there to the codes.
    beat_sum : int
        From the codes to the sum over the beat.
    partial_sums : int
        As of :class:`rtl.blocks.online_sum.OnlineSum`.
    result : int
        From the sum of a row to the row's result.
    outputs : int
        From a beat read to the output.
    """

    def __init__(self, *, position, candidates, distance, beat_sum, partial_sums, result, outputs,
                 code=1):
        self.position = position
        self.candidates = self.position + candidates
        self.reference = self.candidates + 1
        self.distance = self.reference + distance
        self.code = self.distance + code
        self.tree = self.code + beat_sum
        self.rise = max(self.distance, self.tree - OnlineSum.lead(partial_sums))
        self.beat_sum = self.rise + OnlineSum.lead(partial_sums)
        self.sum = self.beat_sum + partial_sums
        self.result = self.sum + result
        self.write = max(self.result - LATENCY, self.code)
        self.read = self.write + LATENCY
        self.output = self.read + outputs


class OnlineDatapath(RowDatapath):
    """Two passes over a row, of which the first goes as the row comes.

    First pass: running reference at or above the maximum, codes of the distances to it (stored),
    online sum. Second pass: codes corrected by what the reference has risen since, and the row's
    result, which is a function of the sum.

    A subclass says what codes are (the methods below "Kinds of code") and what comes of them (those
    below "Second pass of a method").
    """

    def __init__(self, config):
        super().__init__(config)
        self.at = self.schedule(config)

    @classmethod
    def schedule(cls, config):
        """Schedule of the pipeline for a configuration."""
        return Schedule(**cls.first_pass(config),
                        candidates=RunningMax.stages(lanes=config.lanes, **cls.search(config)),
                        partial_sums=config.partial_sums,
                        result=len(cls.rests(config)), outputs=cls.output_cycles(config))

    @staticmethod
    def rests(config):
        """Steps after which the normalisation of a sum rests."""
        return (2,) if config.pipeline == "deep" else ()

    def elaborate(self, platform):
        m = Module()
        at = self.at
        longest = max(at.write, at.result)
        self.valids = delays(m, self.valid, longest, "valid")
        self.firsts = delays(m, self.first, at.beat_sum, "first")
        self.ends = delays(m, self.valid & self.end, longest, "end")
        self.lives = delays(m, self.live, at.code, "live")

        positions, waiting = self._positions(m)
        level, rise = self._references(m, positions)
        distances = self._distances(m, waiting)
        codes = self._codes(m, distances)
        beat_sum = self._beat_sum(m, codes, distances)
        total = self._sum(m, rise, delays(m, beat_sum, at.beat_sum - at.tree, "beat_sum")[-1])
        result = self._normalised(m, total)
        late = self._read(m, codes, level, result)
        outputs = self._outputs(m, late, self.rows.result)

        cycles = at.output - at.read
        m.d.comb += [
            *(element.eq(output) for element, output in zip(self.o.data, outputs, strict=True)),
            self.o.keep.eq(delays(m, self.read.keep, cycles, "read_keep")[-1]),
            self.o.last.eq(delays(m, self.read.last, cycles, "read_last")[-1]),
            self.o_valid.eq(delays(m, self.rows.valid, cycles, "read_valid")[-1]),
            self.leaving.eq(self.rows.leaving),
        ]
        return m

    # Kinds of code ------------------------------------------------------------------------------

    #: Whether the top code can stand for an output other than 0, so that elements that take no part
    #: need a flag of their own.
    stores_dead = False

    @staticmethod
    def first_pass(config):
        """The :class:`Schedule`'s parameters of the first pass, but for ``candidates``."""
        raise NotImplementedError

    @staticmethod
    def search(config):
        """The :class:`~rtl.blocks.maximum.RunningMax`'s parameters, but for ``lanes``."""
        raise NotImplementedError

    @property
    def code_bits(self):
        """Width of what is stored of an element."""
        return self.config.code_bits

    def _references(self, m, positions):
        """Reference at stage ``reference``, as ``self.reference``.

        Returns what is stored of it, and by what octaves it rises with each beat, at stage
        ``distance``.
        """
        raise NotImplementedError

    def _codes(self, m, distances):
        """Codes of the elements, at stage ``code``."""
        raise NotImplementedError

    def _beat_sum(self, m, codes, distances):
        """Sum over a beat of what its elements stand for, at stage ``tree``."""
        raise NotImplementedError

    def _late_code(self, m, rise):
        """What a beat's codes lack, from what the stored reference rose by afterwards."""
        raise NotImplementedError

    # Second pass of a method ---------------------------------------------------------------------

    @staticmethod
    def output_cycles(config):
        """Cycles from a beat read to the output."""
        raise NotImplementedError

    @property
    def mantissa_bits(self):
        """Bits below the leading one of a sum that the row's word has."""
        return self.config.mantissa_bits

    def _outputs(self, m, late, result):
        """Output registers of a beat.

        ``self.read`` is the beat; its codes lack ``late``, and its row's word is ``result``, both
        of which come a cycle later.
        """
        raise NotImplementedError

    # First pass ---------------------------------------------------------------------------------

    def _positions(self, m):
        """Positions of the elements at stage ``position``, and later at stage ``reference``."""
        config, at = self.config, self.at
        axis = config.axis
        wait = at.reference - at.position
        if at.position:
            words = Signal(data.ArrayLayout(axis.position_bits, config.lanes), name="positions")
            m.d.sync += [words[k].eq(self._position(m, x, k)) for k, x in enumerate(self.data)]
            return words, delays(m, words, wait, "positions")[-1]
        # Logits wait as they are: the sign is turned where a LUT takes it in passing.
        shift = axis.factors[0].bit_length() - 1
        offset = (-1 << (config.bits - 1 + shift)) - axis.origin
        return tuple([self._shifted(x, shift, offset) for x in logits]
                     for logits in (self.data, delays(m, self.data, wait, "logits")[-1]))

    def _shifted(self, x, shift, offset):
        """Position of a logit, where that takes wires, or the addition of a constant."""
        config = self.config
        sign = 1 << (config.bits - 1)
        place = Cat(Const(0, shift), (x.as_unsigned() ^ sign)[:config.bits])
        return (place + offset)[:config.axis.position_bits] if offset else place

    def _position(self, m, x, lane):
        """Position of a logit, where that takes more."""
        config = self.config
        axis = config.axis
        if config.bits <= TABLE_BITS:
            half = 1 << (config.bits - 1)
            # In the order of the bit patterns: 0 up to the largest, then the negative ones.
            words = [axis.position(v - 2 * half if v >= half else v) for v in range(2 * half)]
            word = lookup(m, x.as_unsigned(), words, name=f"position_word_{lane}")
            return Cat(word, Const(0, axis.position_bits - len(word)))
        multiplier, shift = axis.factors
        product = constant_multiple(x.as_signed(), multiplier)
        return (round_shift(product, shift, axis.rounding) - axis.origin)[:axis.position_bits]

    def _distances(self, m, positions):
        """Distances of the elements to the reference, at stage ``distance``."""
        config, at = self.config, self.at
        distances = []
        for k, position in enumerate(positions):
            distance = Signal(config.axis.reference_bits, name=f"distance_{k}")
            m.d.comb += distance.eq(self.reference - position)
            distances.append(delays(m, distance, at.distance - at.reference, distance.name)[-1])
        return distances

    def _maximum(self, m, words):
        """Running maximum of the elements' ``words``, which are there at stage ``position``."""
        config, at = self.config, self.at
        m.submodules.maximum = maximum = RunningMax(lanes=config.lanes, **self.search(config))
        m.d.comb += [
            *(word.eq(x) for word, x in zip(maximum.data, words, strict=True)),
            maximum.live.eq(self.lives[at.position]),
            maximum.valid.eq(self.valids[at.candidates]),
            maximum.first.eq(self.firsts[at.candidates]),
        ]
        return maximum

    def _risen(self, m, level):
        """Rise of ``level``, of stage ``reference``, with each beat, at stage ``distance``."""
        at = self.at
        before = Signal.like(level, name="level_before")
        with m.If(self.valids[at.reference]):
            m.d.sync += before.eq(level)
        return delays(m, (level - before)[:len(level)], at.distance - at.reference, "risen")[-1]

    def _sum(self, m, rise, beat_sum):
        """Sum of the row, at stage ``sum``."""
        config, at = self.config, self.at
        m.submodules.sum = total = OnlineSum(len(beat_sum), config.sum_bits, len(rise),
                                             partial=config.partial_sums)
        m.d.comb += [
            total.valid.eq(self.valids[at.rise]), total.first.eq(self.firsts[at.rise]),
            total.rise.eq(delays(m, rise, at.rise - at.distance, "rise")[-1]),
            total.i_valid.eq(self.valids[at.beat_sum]),
            total.i_first.eq(self.firsts[at.beat_sum]),
            total.i.eq(beat_sum),
        ]
        return total.o

    def _normalised(self, m, total):
        """Word of a row, at stage ``result``.

        The bits below the leading one of its sum, and above them that one's place.
        """
        config = self.config
        place, mantissa = normalised(m, total, config.smallest_place, self.mantissa_bits,
                                     rests=self.rests(config))
        return Cat(mantissa, place)

    # Second pass --------------------------------------------------------------------------------

    @property
    def beat_layout(self):
        """What is kept of a beat until its row is complete."""
        config = self.config
        return data.StructLayout({
            "code": data.ArrayLayout(self.code_bits, config.lanes),
            **({"dead": unsigned(config.lanes)} if self.stores_dead else {}),
            "reference": unsigned(self.stored_bits),
            "keep": unsigned(config.lanes), "last": unsigned(1)})

    @property
    def stored_bits(self):
        """Width of what is stored of the reference."""
        return self.config.axis.reference_bits

    def _read(self, m, codes, level, result):
        """Store the beats and read them; return what a beat's codes lack, a cycle after it."""
        config, at = self.config, self.at
        m.submodules.rows = self.rows = rows = RowBuffer(
            self.beat_layout, config.max_beats, config.max_rows, memory=config.memory,
            words={"reference": self.stored_bits}, late={"result": len(result)})
        m.d.comb += [
            rows.i.code.as_value().eq(delays(m, Cat(codes), at.write - at.code, "codes")[-1]),
            rows.i.reference.eq(delays(m, level, at.write - at.reference, "references")[-1]),
            rows.i.keep.eq(delays(m, self.kept, at.write, "kept")[-1]),
            rows.i.last.eq(self.ends[at.write]), rows.write.eq(self.valids[at.write]),
            rows.reference_i.eq(level), rows.reference_push.eq(self.ends[at.reference]),
            rows.result_i.eq(result), rows.result_push.eq(self.ends[at.result]),
        ]
        if self.stores_dead:
            dead = delays(m, ~self.lives[at.code], at.write - at.code, "dead")[-1]
            m.d.comb += rows.i.dead.eq(dead)
        self.read = rows.o
        rise = (rows.reference - self.read.reference)[:self.stored_bits]
        return delays(m, self._late_code(m, rise), 1, "late")[-1]

    def _clipped_sums(self, m, late, cycles=1):
        """Codes that no longer lack ``late``, ``cycles`` cycles after the beat, at most the top
        code; registered."""
        top = self.config.top_code
        codes = []
        for k in range(self.config.lanes):
            code = delays(m, self.read.code[k], cycles, f"read_code_{k}")[-1]
            total = Signal(max(self.code_bits, len(late)) + 1, name=f"late_total_{k}")
            m.d.comb += total.eq(code + late)
            clipped = Signal(self.code_bits, name=f"late_code_{k}")
            m.d.sync += clipped.eq(Mux(total >= top, top, total))
            codes.append(clipped)
        return codes

    def _read_codes(self, m, cycles):
        """Codes of the beat, ``cycles`` cycles after it."""
        return [delays(m, self.read.code[k], cycles, f"read_code_{k}")[-1]
                for k in range(self.config.lanes)]
