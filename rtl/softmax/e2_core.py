"""Hardware of E2Softmax."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data

from ..adder_tree import AdderTree
from ..barrel_shift import shift_right
from ..leading_one import leading_one
from ..lookup import constant_multiple, lookup
from ..max_tree import RunningMax
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
    first beat meets the logarithm of its sum in the cycle in which that is known.
    """

    def __init__(self, config):
        octave = config.codes == "octave"
        # Unrounded logits are positions already, but for the sign bit.
        self.position = int(not config.incremental and (octave or config.input_shift < 0))
        self.maximum = self.position + RunningMax.stages(config.lanes)
        self.distance = self.maximum + 1
        self.code = self.distance + 1
        self.beat_sum = self.code + (PowerSum if octave else AdderTree).stages(config.lanes)
        self.sum = self.beat_sum + 1
        # The logarithm of octaves is a place; that of input codes is looked up, in its own stage.
        self.log = self.sum if octave else self.sum + 1
        self.write = max(self.log - 4, self.code)
        self.read = self.write + 2
        self.late = self.read + 2
        self.output = self.late + 2


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
        self.valids = delays(m, self.valid, max(at.write, at.beat_sum), "valid")
        self.firsts = delays(m, self.first, at.sum, "first")
        self.ends = delays(m, self.valid & self.end, max(at.write, at.log), "end")
        self.keeps = delays(m, self.kept, at.write, "kept")
        self.lives = delays(m, self.live, at.code, "live")

        distances, reference, rise = self._distances(m)
        codes = self._codes(m, distances)
        total = self._sum(m, distances, codes, rise)
        log, constant = self._logarithm(m, total)
        stored = self._store(m, codes, reference)
        self._second_pass(m, stored, reference, log, constant)
        return m

    # First pass ---------------------------------------------------------------------------------

    def _distances(self, m):
        """Distances of the elements to the running reference, that reference, and its rise."""
        config, at = self.config, self.at
        positions = delays(m, Cat(self._position(m, x, k) for k, x in enumerate(self.data)),
                           at.maximum - at.position, "positions")

        def position(cycle, k):
            return positions[cycle].word_select(k, config.position_bits)

        m.submodules.maximum = running = RunningMax(config.bucket_bits, config.lanes)
        m.d.comb += [running.data[k].eq(position(0, k)[config.bucket_shift:])
                     for k in range(config.lanes)]
        m.d.comb += [
            running.live.eq(self.lives[at.position]),
            running.valid.eq(self.valids[at.position]),
            running.first.eq(self.firsts[at.position]),
        ]

        reference = Signal(config.reference_bits)
        nearest = self._reference(m, running.maximum)
        m.d.sync += reference.eq(nearest)
        distances = []
        for k in range(config.lanes):
            distance = Signal(config.reference_bits, name=f"distance_{k}")
            m.d.sync += distance.eq(nearest - position(-1, k))
            distances.append(distance)
        return distances, reference, self._rise(m, running)

    def _position(self, m, x, lane):
        """Place of a logit on the unsigned axis, at stage ``position``."""
        config = self.config
        offset = x ^ (1 << (config.bits - 1))
        if not self.at.position:
            shift = 0 if config.incremental else config.input_shift
            return Cat(Const(0, shift), offset[:config.bits])
        position = Signal(config.position_bits, name=f"position_{lane}")
        if config.bits <= TABLE_BITS:
            half = 1 << (config.bits - 1)
            words = [config.position(v - half) for v in range(2 * half)]
            value = lookup(m, offset[:config.bits], words, name=f"position_word_{lane}")
        else:
            multiplier, shift = config.axis_factors
            product = constant_multiple(x.as_signed(), multiplier)
            value = (self._round_shift(product, shift)
                     - config.position_origin)
        m.d.sync += position.eq(value)
        return position

    def _octave(self, m, bucket, name):
        """Octave of a maximum's bucket (input codes)."""
        config = self.config
        if config.bucket_bits <= TABLE_BITS:
            words = [config.octave(b) for b in range(1 << config.bucket_bits)]
            return lookup(m, bucket, words, name=name)
        a, p, _, _ = config.octave_factors
        top = Cat(Const(-1, config.bucket_shift), bucket)
        return (constant_multiple(top, a) >> p) + 1

    def _reference(self, m, bucket):
        """Position of the reference for a maximum's bucket."""
        config = self.config
        if config.codes == "octave":
            return bucket
        if config.bucket_bits <= TABLE_BITS:
            words = [config.reference(b) for b in range(1 << config.bucket_bits)]
            return lookup(m, bucket, words, name="reference_word")
        _, _, g, q = config.octave_factors
        octave = self._octave(m, bucket, "reference_octave")
        return self._round_shift(constant_multiple(octave, g), q, "round")

    def _rise(self, m, running):
        """Octaves by which a beat moves the reference, at stage ``code``."""
        config = self.config
        if config.codes == "octave":
            difference = Signal(config.position_bits, name="rise_distance")
            m.d.sync += difference.eq(running.maximum - running.previous)
            value = self._clipped_code(m, difference, "rise_code")
            rise = Signal(config.code_bits)
        else:
            octaves = []
            for name, bucket in ("octave", running.maximum), ("octave_before", running.previous):
                octave = Signal(config.octave_bits, name=name)
                m.d.sync += octave.eq(self._octave(m, bucket, name + "_word"))
                octaves.append(octave)
            value = octaves[0] - octaves[1]
            rise = Signal(config.octave_bits)
        m.d.sync += rise.eq(value)
        return rise

    def _codes(self, m, distances):
        """Codes of the elements, at stage ``code``; the top code for those that take no part."""
        config = self.config
        live = self.lives[self.at.distance]
        codes = []
        for k, distance in enumerate(distances):
            code = Signal(config.code_bits, name=f"code_{k}")
            with m.If(live[k] & ~self._far(distance)):
                m.d.sync += code.eq(self._near_code(m, distance, f"code_word_{k}"))
            with m.Else():
                m.d.sync += code.eq(config.top_code)
            codes.append(code)
        return codes

    def _far(self, distance):
        """Whether a distance is beyond all codes, where that takes no arithmetic to say."""
        if self.config.incremental:
            return Const(0, 1)
        return distance[self.config.code_bits:].any()

    def _near_code(self, m, distance, name):
        """Code of a distance that is not far."""
        config = self.config
        if not config.incremental:
            return distance[:config.code_bits]
        return self._clipped_code(m, distance, name)

    def _clipped_code(self, m, distance, name):
        """Code of any distance."""
        config = self.config
        if not config.incremental:
            return Mux(self._far(distance), config.top_code, distance[:config.code_bits])
        if len(distance) <= TABLE_BITS:
            words = [min(config.distance_code(d), config.top_code)
                     for d in range(1 << len(distance))]
            return lookup(m, distance, words, name=name)
        multiplier, shift = config.coefficient
        value = self._round_shift(constant_multiple(distance, multiplier), shift)
        return Mux(value >= config.top_code, config.top_code, value[:config.code_bits])

    def _round_shift(self, value, shift, rounding=None):
        rounding = self.config.code_rounding if rounding is None else rounding
        if shift and rounding == "round":
            value = value + (1 << (shift - 1))
        return value >> shift

    def _sum(self, m, distances, codes, rise):
        """Sum of the row so far, at stage ``sum``."""
        config, at = self.config, self.at
        if config.codes == "octave":
            m.submodules.beat_sum = tree = PowerSum(config.code_bits, config.sum_fraction_bits,
                                                    config.lanes)
            m.d.comb += tree.live.eq(self.lives[at.code])
            m.d.comb += [tree.code[k].eq(code) for k, code in enumerate(codes)]
        else:
            m.submodules.beat_sum = tree = AdderTree(
                config.sum_fraction_bits + 1, config.lanes, largest=1 << config.sum_fraction_bits)
            live = self.lives[at.distance]
            for k, distance in enumerate(distances):
                term = Signal(config.sum_fraction_bits + 1, name=f"term_{k}")
                with m.If(live[k] & ~self._far(distance)):
                    m.d.sync += term.eq(lookup(m, distance[:config.code_bits], config.terms,
                                               name=f"term_word_{k}"))
                with m.Else():
                    m.d.sync += term.eq(0)
                m.d.comb += tree.i[k].eq(term)

        total = Signal(config.sum_bits)
        rise = delays(m, rise, at.beat_sum - at.code, "rise")[-1]
        with m.If(self.valids[at.beat_sum]):
            with m.If(self.firsts[at.beat_sum]):
                m.d.sync += total.eq(tree.o)
            with m.Else():
                m.d.sync += total.eq(shift_right(m, total, rise) + tree.o)
        return total

    # Second pass --------------------------------------------------------------------------------

    def _logarithm(self, m, total):
        """Logarithm of the sum, in codes, and the number of the division's constant."""
        config = self.config
        place, fraction = leading_one(m, total, config.mantissa_bits)
        if config.codes == "octave":
            log = Signal(range(config.sum_bits - config.sum_fraction_bits))
            m.d.comb += log.eq(place - config.sum_fraction_bits)
            return log, fraction
        log = Signal(range(max(config.sum_logs) + 1))
        m.d.sync += log.eq(lookup(m, Cat(fraction, place), config.sum_logs, name="log_word"))
        return log, Const(0, 0)

    def _store(self, m, codes, reference):
        """Beats of complete rows, two cycles before stage ``late``."""
        config, at = self.config, self.at
        m.submodules.store = store = RowStore(self.store_layout, config.max_beats,
                                              memory=config.memory)
        wait = at.write - at.code
        m.d.comb += [
            store.i.code.as_value().eq(delays(m, Cat(codes), wait, "codes")[-1]),
            store.i.reference.eq(delays(m, reference, wait + 1, "references")[-1]),
            store.i.keep.eq(self.keeps[at.write]),
            store.i.last.eq(self.ends[at.write]),
            store.write.eq(self.valids[at.write]),
            store.last.eq(self.ends[at.write]),
        ]
        if self.stores_dead:
            m.d.comb += store.i.dead.eq(delays(m, ~self.lives[at.code], wait, "dead")[-1])
        return store

    def _second_pass(self, m, store, reference, log, constant):
        """Outputs, from the stored codes, the last reference of the row and its sum."""
        config, at = self.config, self.at
        depth = 1 << (config.max_rows - 1).bit_length()

        # The reference that the row ended with, at its first beat.
        m.submodules.references = references = RowQueue(config.reference_bits, depth)
        m.d.comb += [references.i.eq(reference), references.push.eq(self.ends[at.distance])]
        first = Signal(init=1)
        final_reference = Signal(config.reference_bits)
        with m.If(store.valid):
            m.d.sync += first.eq(store.o.last)
        m.d.comb += references.pop.eq(store.valid & first)
        with m.If(first):
            m.d.sync += final_reference.eq(references.o)
        read = Signal(self.store_layout)
        read_valid, read_first = Signal(), Signal()
        m.d.sync += [read.eq(store.o), read_valid.eq(store.valid), read_first.eq(first)]

        # What the reference has risen by since the beat.
        late = Signal(self._late_bits)
        m.d.sync += late.eq(self._late(m, (final_reference - read.reference)
                                       [:config.reference_bits]))
        late_beat = Signal(self.store_layout)
        late_valid, late_first = Signal(), Signal()
        m.d.sync += [late_beat.eq(read), late_valid.eq(read_valid), late_first.eq(read_first)]

        # The logarithm of the row's sum, from the queue or straight from the sum.
        m.submodules.logs = logs = RowQueue(len(log) + len(constant), depth)
        current = Signal(len(log) + len(constant))
        chosen = Signal.like(current)
        m.d.comb += [
            logs.i.eq(Cat(log, constant)),
            logs.push.eq(self.ends[at.log]),
            logs.pop.eq(late_valid & late_first),
            self.leaving.eq(logs.pop),
            chosen.eq(Mux(late_first, logs.o, current)),
        ]
        m.d.sync += current.eq(chosen)

        code_bits = config.code_bits
        codes, offset = self._corrected(m, late_beat, late, chosen[:len(log)])
        number = Signal(len(constant))
        m.d.sync += number.eq(chosen[len(log):])
        beat = Signal(self.store_layout)
        beat_valid = Signal()
        m.d.sync += [beat.eq(late_beat), beat_valid.eq(late_valid)]

        # Table of the outputs.
        index_bits = max((config.zero_code - 1).bit_length(), 1)
        words = [row[u] if u < len(row) else 0
                 for row in config.outputs for u in range(1 << index_bits)]
        for k in range(config.lanes):
            total = Signal(max(code_bits, len(offset)) + 1, name=f"total_{k}")
            m.d.comb += total.eq(codes[k] + offset)
            zero = total[index_bits:].any()
            if self.stores_dead:
                zero |= beat.dead[k]
            elif config.top_code < config.zero_code:
                zero |= codes[k] == config.top_code
            with m.If(zero):
                m.d.sync += self.o.data[k].eq(0)
            with m.Else():
                m.d.sync += self.o.data[k].eq(
                    lookup(m, Cat(total[:index_bits], number), words, name=f"output_word_{k}"))
        m.d.sync += [self.o.keep.eq(beat.keep), self.o.last.eq(beat.last),
                     self.o_valid.eq(beat_valid)]

    @property
    def _late_bits(self):
        config = self.config
        return config.code_bits if config.codes == "octave" else config.zero_code.bit_length()

    def _late(self, m, distance):
        """Code of a rise of the reference; no more than makes every output 0."""
        config = self.config
        if config.codes == "octave":
            return self._clipped_code(m, distance, "late_code")
        return Mux(distance >= config.zero_code, config.zero_code, distance)

    def _corrected(self, m, beat, late, log):
        """Codes and an offset that add up to the corrected codes less the logarithm of the sum."""
        config = self.config
        if self.stores_dead:
            # The corrected code has to be clipped before the logarithm is added.
            codes = []
            for k in range(config.lanes):
                total = Signal(config.code_bits + 1, name=f"late_total_{k}")
                code = Signal(config.code_bits, name=f"late_code_{k}")
                m.d.comb += total.eq(beat.code[k] + late)
                m.d.sync += code.eq(Mux(total >= config.top_code, config.top_code, total))
                codes.append(code)
            offset = Signal.like(log, name="offset")
            m.d.sync += offset.eq(log)
            return codes, offset
        codes = Signal(data.ArrayLayout(config.code_bits, config.lanes), name="late_codes")
        offset = Signal(config.zero_code.bit_length())
        total = late + log
        m.d.sync += [codes.eq(beat.code),
                     offset.eq(Mux(total >= config.zero_code, config.zero_code, total))]
        return codes, offset
