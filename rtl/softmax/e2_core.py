"""Hardware of E2Softmax."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data

from ..adder_tree import AdderTree
from ..barrel_shift import shift_right
from ..leading_one import leading_one
from ..lookup import constant_multiple, lookup
from ..max_radix import MaxRadix
from ..max_tree import MaxTree, largest
from ..pipeline import delays
from ..power_sum import PowerSum
from ..row_queue import RowQueue
from ..row_store import RowStore
from ..row_unit import RowDatapath, RowUnit


__all__ = ["E2Softmax", "Schedule"]

# Functions of up to this many bits are looked up; wider ones are computed.
TABLE_BITS = 8


class Schedule:
    """Pipeline stages: how many cycles after a beat is accepted a register holds what is made of it.

    The store is written as late as the sum allows: a row is read as soon as it is complete, and its
    first beat meets the sum in the cycle in which that is known.
    """

    def __init__(self, config):
        octave = config.codes == "octave"
        # Unrounded logits are positions already, but for the sign bit.
        self.position = int(not config.incremental and (octave or config.input_shift < 0))
        self.candidates = self.position + (MaxTree.stages(config.lanes) if octave else
                                           MaxRadix.stages(config.bucket_bits))
        self.reference = self.candidates + 1
        # A distance goes straight through a table; where it is multiplied, it rests before.
        self.distance = self.reference + int(config.incremental
                                             and config.position_bits > TABLE_BITS)
        self.code = self.distance + 1
        self.beat_sum = self.code + (PowerSum if octave else AdderTree).stages(config.lanes)
        self.sum = self.beat_sum + 1
        self.write = max(self.sum - 3, self.code)
        self.stored = self.write + 2
        self.read = self.stored + 1
        self.output = self.read + 3


class E2Softmax(RowUnit):
    """E2Softmax unit; :class:`rtl.softmax.e2.E2SoftmaxConfig` says what it computes.

    First pass: running maximum, codes relative to it (stored), online sum. Second pass: correction
    of the codes by what the maximum has risen since, logarithm of the sum, table of the outputs.
    """

    def __init__(self, config):
        super().__init__(config, _Datapath(config))


class _Datapath(RowDatapath):
    def __init__(self, config):
        super().__init__(config)
        self.at = Schedule(config)

    @property
    def store_layout(self):
        """What is kept of a beat until its row is complete."""
        config = self.config
        members = {"code": data.ArrayLayout(config.code_bits, config.lanes)}
        if self.stores_dead:
            members["dead"] = unsigned(config.lanes)
        return data.StructLayout({
            **members, "reference": unsigned(config.reference_bits),
            "keep": unsigned(config.lanes), "last": unsigned(1)})

    @property
    def stores_dead(self):
        """Whether the top code can stand for an output other than 0."""
        return self.config.codes == "octave" and self.config.top_code < self.config.zero_code

    def elaborate(self, platform):
        m = Module()
        at = self.at
        self.valids = delays(m, self.valid, max(at.write, at.sum), "valid")
        self.firsts = delays(m, self.first, at.beat_sum, "first")
        self.ends = delays(m, self.valid & self.end, max(at.write, at.sum), "end")
        self.keeps = delays(m, self.kept, at.write, "kept")
        self.lives = delays(m, self.live, at.code, "live")

        # First pass: running reference, codes, sum.
        positions = self._positions(m)
        reference, rise = self._references(m, positions[0])
        distances = self._distances(m, reference, positions[-1])
        codes = self._codes(m, distances)
        total = self._sum(m, codes, distances, rise)

        # Second pass: correction of the codes, division, table of the outputs.
        store = self._store(m, codes, reference)
        late = self._late(m, store, reference)
        log = self._logarithm(m, total)
        self._outputs(m, late, log)
        return m

    # First pass ---------------------------------------------------------------------------------

    def _positions(self, m):
        """Positions of the elements at stage ``position`` and at stage ``reference``."""
        config, at = self.config, self.at
        wait = at.reference - at.position
        if at.position:
            words = Signal(data.ArrayLayout(config.position_bits, config.lanes), name="positions")
            m.d.sync += [words[k].eq(self._position(m, x, k)) for k, x in enumerate(self.data)]
            stages = delays(m, words, wait, "positions")
            return stages[0], stages[-1]
        # Logits wait as they are: the sign is turned where a LUT takes it in passing.
        shift = config.axis_factors[0].bit_length() - 1
        sign = 1 << (config.bits - 1)
        stages = delays(m, self.data, wait, "logits")
        return tuple([Cat(Const(0, shift), (x.as_unsigned() ^ sign)[:config.bits]) for x in stage]
                     for stage in (stages[0], stages[-1]))

    def _position(self, m, x, lane):
        """Position of a logit, where that takes more than wires."""
        config = self.config
        if config.bits <= TABLE_BITS:
            half = 1 << (config.bits - 1)
            # In the order of the logits' bit patterns: 0 up to the largest, then the negative ones.
            words = [config.position(v - 2 * half if v >= half else v) for v in range(2 * half)]
            return lookup(m, x.as_unsigned(), words, name=f"position_word_{lane}")
        multiplier, shift = config.axis_factors
        product = constant_multiple(x.as_signed(), multiplier)
        return self._round_shift(product, shift) - config.position_origin

    def _references(self, m, positions):
        """Running reference at stage ``reference``, and its rise at stage ``code``."""
        config, at = self.config, self.at
        finder = (MaxTree(config.bucket_bits, config.lanes) if config.codes == "octave" else
                  MaxRadix(config.bucket_bits, config.lanes))
        m.submodules.maximum = finder
        m.d.comb += [word.eq(position[config.bucket_shift:])
                     for word, position in zip(finder.data, positions)]
        m.d.comb += finder.live.eq(self.lives[at.position])
        valid, first = self.valids[at.candidates], self.firsts[at.candidates]
        maximum = Signal(config.bucket_bits)

        if config.codes == "octave":
            best, some = largest(m, [*finder.o, maximum], [*finder.o_live, ~first], "running")
            with m.If(valid):
                m.d.sync += maximum.eq(Mux(some, best, 0))
            reference = level = maximum
        else:
            # The least bucket is neutral, so that a beat without live elements needs no flag.
            reference = Signal(config.reference_bits)
            level = Signal(config.octave_bits, name="octave")
            with m.If(valid & (first | (finder.o > maximum))):
                m.d.sync += [maximum.eq(finder.o), level.eq(self._octave(m, finder.o)),
                             reference.eq(self._reference(m, finder.o))]

        # A first beat has no rise: the sum starts anew with it.
        before = Signal.like(level, name="level_before")
        with m.If(self.valids[at.reference]):
            m.d.sync += before.eq(level)
        return reference, self._rise(m, level, before)

    def _octave(self, m, bucket):
        """Octave of a maximum's bucket (input codes)."""
        config = self.config
        if config.bucket_bits <= TABLE_BITS:
            words = [config.octave(b) for b in range(1 << config.bucket_bits)]
            return lookup(m, bucket, words, name="octave_word")
        a, p, _, _ = config.octave_factors
        top = Cat(Const(-1, config.bucket_shift), bucket)
        return (constant_multiple(top, a) >> p) + 1

    def _reference(self, m, bucket):
        """Position of the reference for a maximum's bucket (input codes)."""
        config = self.config
        if config.bucket_bits <= TABLE_BITS:
            words = [config.reference(b) for b in range(1 << config.bucket_bits)]
            return lookup(m, bucket, words, name="reference_word")
        _, _, g, q = config.octave_factors
        return self._round_shift(constant_multiple(self._octave(m, bucket), g), q, "round")

    def _rise(self, m, level, before):
        """Octaves from the reference before a beat to the one with it, at stage ``code``.

        With it comes a flag that nothing is left of the sum: it belongs to another row, or is
        shifted out.
        """
        config, at = self.config, self.at
        difference = (level - before)[:len(level)]
        if at.distance > at.reference:
            difference = delays(m, difference, 1, "rise_distance")[-1]
        if config.codes == "octave":
            difference = self._clipped_code(m, difference, "rise_code")
        amount_bits = min((config.sum_bits - 1).bit_length(), len(difference))
        rise, clear = Signal(amount_bits), Signal()
        m.d.sync += [rise.eq(difference),
                     clear.eq(self.firsts[at.distance] | difference[amount_bits:].any())]
        return rise, clear

    def _distances(self, m, reference, positions):
        """Distances of the elements to the reference, at stage ``distance``."""
        config, at = self.config, self.at
        domain = m.d.sync if at.distance > at.reference else m.d.comb
        distances = []
        for k, position in enumerate(positions):
            distance = Signal(config.reference_bits, name=f"distance_{k}")
            domain += distance.eq(reference - position)
            distances.append(distance)
        return distances

    def _near(self, k, distance):
        """Whether an element takes part and, if that takes no arithmetic to say, has a code."""
        live = self.lives[self.at.distance][k]
        if self.config.incremental:
            return live
        return live & ~distance[self.config.code_bits:].any()

    def _codes(self, m, distances):
        """Codes of the elements, at stage ``code``; the top code for those that take no part."""
        config = self.config
        codes = []
        for k, distance in enumerate(distances):
            code = Signal(config.code_bits, name=f"code_{k}", reset_less=True)
            with m.If(self._near(k, distance)):
                m.d.sync += code.eq(self._clipped_code(m, distance, f"code_word_{k}")
                                    if config.incremental else distance[:config.code_bits])
            with m.Else():
                m.d.sync += code.eq(config.top_code)
            codes.append(code)
        return codes

    def _clipped_code(self, m, distance, name):
        """Code of a distance."""
        config = self.config
        if not config.incremental:
            return Mux(distance[config.code_bits:].any(), config.top_code,
                       distance[:config.code_bits])
        if len(distance) <= TABLE_BITS:
            words = [min(config.distance_code(d), config.top_code)
                     for d in range(1 << len(distance))]
            return lookup(m, distance, words, name=name)
        multiplier, shift = config.coefficient
        value = self._round_shift(constant_multiple(distance, multiplier), shift)
        return Mux(value >= config.top_code, config.top_code, value)[:config.code_bits]

    def _round_shift(self, value, shift, rounding=None):
        rounding = self.config.code_rounding if rounding is None else rounding
        if shift and rounding == "round":
            value = value + (1 << (shift - 1))
        return value >> shift

    def _sum(self, m, codes, distances, rise):
        """Sum of the row so far, at stage ``sum``."""
        config, at = self.config, self.at
        if config.codes == "octave":
            m.submodules.beat_sum = tree = PowerSum(config.code_bits, config.sum_fraction_bits,
                                                    config.lanes)
            m.d.comb += tree.live.eq(self.lives[at.code])
            m.d.comb += [operand.eq(code) for operand, code in zip(tree.code, codes)]
        else:
            term_bits = config.unit_term.bit_length()
            m.submodules.beat_sum = tree = AdderTree(term_bits, config.lanes,
                                                     largest=config.unit_term)
            for k, distance in enumerate(distances):
                term = Signal(term_bits, name=f"term_{k}", reset_less=True)
                with m.If(self._near(k, distance)):
                    m.d.sync += term.eq(lookup(m, distance[:config.code_bits], config.terms,
                                               name=f"term_word_{k}"))
                with m.Else():
                    m.d.sync += term.eq(0)
                m.d.comb += tree.i[k].eq(term)

        total = Signal(config.sum_bits)
        wait = at.beat_sum - at.code
        rise, clear = (delays(m, flag, wait, name)[-1] for flag, name in zip(rise, ("rise", "clear")))
        with m.If(self.valids[at.beat_sum]):
            m.d.sync += total.eq(tree.o + Mux(clear, 0, shift_right(m, total, rise)))
        return total

    # Second pass --------------------------------------------------------------------------------

    def _store(self, m, codes, reference):
        """Beats of complete rows."""
        config, at = self.config, self.at
        m.submodules.store = store = RowStore(self.store_layout, config.max_beats,
                                              memory=config.memory)
        wait = at.write - at.code
        m.d.comb += [
            store.i.code.as_value().eq(delays(m, Cat(codes), wait, "codes")[-1]),
            store.i.reference.eq(delays(m, reference, at.write - at.reference, "references")[-1]),
            store.i.keep.eq(self.keeps[at.write]),
            store.i.last.eq(self.ends[at.write]),
            store.write.eq(self.valids[at.write]),
            store.last.eq(self.ends[at.write]),
        ]
        if self.stores_dead:
            m.d.comb += store.i.dead.eq(delays(m, ~self.lives[at.code], wait, "dead")[-1])
        return store

    @property
    def _queue_depth(self):
        return 1 << (self.config.max_rows - 1).bit_length()

    def _late(self, m, store, reference):
        """Beats that were read, with the code of what the reference has risen by after them."""
        config, at = self.config, self.at
        m.submodules.references = references = RowQueue(config.reference_bits, self._queue_depth)
        first = Signal(init=1)
        final = Signal(config.reference_bits, name="final_reference")
        with m.If(store.valid):
            m.d.sync += first.eq(store.o.last)
        with m.If(first):
            m.d.sync += final.eq(references.o)
        m.d.comb += [
            references.i.eq(reference), references.push.eq(self.ends[at.reference]),
            references.pop.eq(store.valid & first),
        ]
        self.read = Signal(self.store_layout)
        self.read_valid, self.read_first = Signal(), Signal()
        m.d.sync += [self.read.eq(store.o), self.read_valid.eq(store.valid),
                     self.read_first.eq(first)]

        difference = (final - self.read.reference)[:config.reference_bits]
        if config.codes == "octave":
            difference = self._clipped_code(m, difference, "late_code")
        else:
            # No more than makes every output 0.
            difference = Mux(difference >= config.zero_code, config.zero_code,
                             difference)[:config.zero_code.bit_length()]
        late = Signal(len(difference))
        m.d.sync += late.eq(difference)
        return late

    def _logarithm(self, m, total):
        """Logarithm of the sum of the row that is read, a cycle after stage ``read``.

        It comes as the place of the leading one, from the smallest that a sum can have, and the
        bits below.
        """
        config, at = self.config, self.at
        least, below = config.smallest_place, config.mantissa_bits
        tail = Cat(Const(0, max(below - least, 0)), total[max(least - below, 0):least])
        found = leading_one(m, total[least:], tail, below)
        m.submodules.sums = sums = RowQueue(sum(map(len, found)), self._queue_depth, bypass=True)
        log = Signal(sums.width)
        with m.If(self.read_first):
            m.d.sync += log.eq(sums.o)
        m.d.comb += [
            sums.i.eq(Cat(found)), sums.push.eq(self.ends[at.sum]),
            sums.pop.eq(self.read_valid & self.read_first),
            self.leaving.eq(sums.pop),
        ]
        return log[:len(found[0])], log[len(found[0]):]

    def _outputs(self, m, late, log):
        """Output beats."""
        config = self.config
        place, fraction = log
        if config.codes == "octave":
            logarithm, constant = place, fraction
        else:
            logarithm = lookup(m, Cat(fraction, place), config.sum_logs, name="log_word")
            constant = Const(0, 0)
        _, beat, corrected = delays(m, self.read, 2, "read")
        valid = delays(m, self.read_valid, 2, "read_valid")[-1]
        number = delays(m, constant, 1, "constant")[-1]
        codes, offset = self._corrected(m, beat, corrected, late, logarithm)

        index_bits = max((config.zero_code - 1).bit_length(), 1)
        words = [row[u] if u < len(row) else 0
                 for row in config.outputs for u in range(1 << index_bits)]
        for k in range(config.lanes):
            total = Signal(max(config.code_bits, len(offset)) + 1, name=f"total_{k}")
            m.d.comb += total.eq(codes[k] + offset)
            zero = total[index_bits:].any()
            if self.stores_dead:
                zero |= corrected.dead[k]
            elif config.top_code < config.zero_code:
                zero |= codes[k] == config.top_code
            output = Signal(config.out_bits, name=f"output_{k}", reset_less=True)
            with m.If(zero):
                m.d.sync += output.eq(0)
            with m.Else():
                m.d.sync += output.eq(lookup(m, Cat(total[:index_bits], number), words,
                                             name=f"output_word_{k}"))
            m.d.comb += self.o.data[k].eq(output)
        m.d.sync += [self.o.keep.eq(corrected.keep), self.o.last.eq(corrected.last),
                     self.o_valid.eq(valid)]

    def _corrected(self, m, beat, corrected, late, logarithm):
        """Codes and offset, registered, that add up to the corrected codes plus the logarithm."""
        config = self.config
        if self.stores_dead:
            # A corrected code is clipped before the logarithm is added, and here that shows.
            codes = []
            for k in range(config.lanes):
                total = Signal(config.code_bits + 1, name=f"late_total_{k}")
                code = Signal(config.code_bits, name=f"late_code_{k}")
                m.d.comb += total.eq(beat.code[k] + late)
                m.d.sync += code.eq(Mux(total >= config.top_code, config.top_code, total))
                codes.append(code)
            return codes, delays(m, logarithm, 1, "offset")[-1]
        total = late + logarithm
        offset = Signal(len(total), name="offset")
        m.d.sync += offset.eq(total)
        return corrected.code, offset
