"""Hardware of E2Softmax: what both kinds of code have in common."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data

from ..barrel_shift import shift_right
from ..leading_one import leading_one
from ..lookup import constant_multiple, lookup
from ..pipeline import delays
from ..row_queue import RowQueue
from ..row_store import RowStore
from ..row_unit import RowDatapath


__all__ = ["TABLE_BITS", "E2Datapath", "Schedule", "round_half_up"]

# Functions of up to this many bits are looked up; wider ones are computed.
TABLE_BITS = 8


class Schedule:
    """Pipeline stages: how many cycles after a beat is accepted a register holds what it became.

    The store is written as late as the sum allows: a row is read as soon as it is complete, and its
    first beat meets the sum in the cycle in which that is known.

    Parameters
    ----------
    position : int
        Cycles from the logits to their positions.
    candidates : int
        From there to what the maximum is chosen from.
    distance : int
        From the reference to the distances.
    beat_sum : int
        From the codes to the sum over the beat.
    """

    def __init__(self, *, position, candidates, distance, beat_sum):
        self.position = position
        self.candidates = self.position + candidates
        self.reference = self.candidates + 1
        self.distance = self.reference + distance
        self.code = self.distance + 1
        self.beat_sum = self.code + beat_sum
        self.sum = self.beat_sum + 1
        self.write = max(self.sum - 3, self.code)
        self.read = self.write + 3
        self.output = self.read + 3


class E2Datapath(RowDatapath):
    """Two passes over a row.

    First pass: running reference at or above the maximum, codes of the distances to it (stored),
    online sum. Second pass: correction of the codes by what the reference has risen since,
    logarithm of the sum, table of the outputs.

    A subclass says what codes are: :meth:`schedule` and the methods below "Kinds of code".
    """

    def __init__(self, config):
        super().__init__(config)
        self.at = self.schedule(config)

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

    def elaborate(self, platform):
        m = Module()
        at = self.at
        self.valids = delays(m, self.valid, max(at.write, at.sum), "valid")
        self.firsts = delays(m, self.first, at.beat_sum, "first")
        self.ends = delays(m, self.valid & self.end, max(at.write, at.sum), "end")
        self.keeps = delays(m, self.kept, at.write, "kept")
        self.lives = delays(m, self.live, at.code, "live")

        positions, waiting = self._positions(m)
        reference, rise = self._references(m, positions)
        distances = self._distances(m, reference, waiting)
        codes = self._codes(m, distances)
        total = self._sum(m, self._beat_sum(m, codes, distances), rise)

        store = self._store(m, codes, reference)
        late = self._late(m, store, reference)
        log = self._leading_one(m, total)
        self._outputs(m, late, *self._logarithm(m, *log))
        return m

    # Kinds of code ------------------------------------------------------------------------------

    #: Whether the top code can stand for an output other than 0, so that elements that take no part
    #: need a flag of their own.
    stores_dead = False

    @staticmethod
    def schedule(config):
        """Schedule of the pipeline for a configuration."""
        raise NotImplementedError

    def _references(self, m, positions):
        """Running reference at stage ``reference``, and its rise (see :meth:`_rise`)."""
        raise NotImplementedError

    def _near(self, distance):
        """Whether a distance is near enough for a code of its own (1 if its code says so)."""
        raise NotImplementedError

    def _near_code(self, m, distance, name):
        """Code of a distance that is near."""
        raise NotImplementedError

    def _beat_sum(self, m, codes, distances):
        """Sum over a beat of what its elements stand for, at stage ``beat_sum``."""
        raise NotImplementedError

    def _late_code(self, m, distance):
        """Code of the distance from a beat's reference to the last one of its row."""
        raise NotImplementedError

    def _logarithm(self, m, place, fraction):
        """Logarithm of a sum, in codes, and the number of the division's constant."""
        raise NotImplementedError

    # First pass ---------------------------------------------------------------------------------

    def _positions(self, m):
        """Positions of the elements at stage ``position``, and later at stage ``reference``."""
        config, at = self.config, self.at
        wait = at.reference - at.position
        if at.position:
            words = Signal(data.ArrayLayout(config.position_bits, config.lanes), name="positions")
            m.d.sync += [words[k].eq(self._position(m, x, k)) for k, x in enumerate(self.data)]
            return words, delays(m, words, wait, "positions")[-1]
        # Logits wait as they are: the sign is turned where a LUT takes it in passing.
        shift = config.axis_factors[0].bit_length() - 1
        sign = 1 << (config.bits - 1)
        return tuple([Cat(Const(0, shift), (x.as_unsigned() ^ sign)[:config.bits]) for x in logits]
                     for logits in (self.data, delays(m, self.data, wait, "logits")[-1]))

    def _position(self, m, x, lane):
        """Position of a logit, where that takes more than wires."""
        config = self.config
        if config.bits <= TABLE_BITS:
            half = 1 << (config.bits - 1)
            # In the order of the bit patterns: 0 up to the largest, then the negative ones.
            words = [config.position(v - 2 * half if v >= half else v) for v in range(2 * half)]
            return lookup(m, x.as_unsigned(), words, name=f"position_word_{lane}")
        multiplier, shift = config.axis_factors
        product = constant_multiple(x.as_signed(), multiplier)
        return round_half_up(product, shift, config.code_rounding) - config.position_origin

    def _rise(self, m, level, code):
        """What a beat adds to ``level``, the octave of the reference, at stage ``code``.

        ``code(m, difference)`` turns a difference of levels into octaves. With these comes a flag
        that nothing is left of the sum: it belongs to another row, or is shifted out.
        """
        config, at = self.config, self.at
        # A first beat has no rise: the sum starts anew with it.
        before = Signal.like(level, name="level_before")
        with m.If(self.valids[at.reference]):
            m.d.sync += before.eq(level)
        difference = (level - before)[:len(level)]
        difference = code(m, delays(m, difference, at.distance - at.reference, "rise")[-1])
        amount_bits = min((config.sum_bits - 1).bit_length(), len(difference))
        amount, clear = Signal(amount_bits, name="amount"), Signal(name="clear")
        m.d.sync += [amount.eq(difference),
                     clear.eq(self.firsts[at.distance] | difference[amount_bits:].any())]
        return amount, clear

    def _distances(self, m, reference, positions):
        """Distances of the elements to the reference, at stage ``distance``."""
        config, at = self.config, self.at
        distances = []
        for k, position in enumerate(positions):
            distance = Signal(config.reference_bits, name=f"distance_{k}")
            m.d.comb += distance.eq(reference - position)
            distances.append(delays(m, distance, at.distance - at.reference, distance.name)[-1])
        return distances

    def _codes(self, m, distances):
        """Codes of the elements, at stage ``code``; the top code for those that take no part."""
        config = self.config
        codes = []
        for k, distance in enumerate(distances):
            code = Signal(config.code_bits, name=f"code_{k}", reset_less=True)
            with m.If(self.lives[self.at.distance][k] & self._near(distance)):
                m.d.sync += code.eq(self._near_code(m, distance, f"code_word_{k}"))
            with m.Else():
                m.d.sync += code.eq(config.top_code)
            codes.append(code)
        return codes

    def _sum(self, m, beat_sum, rise):
        """Sum of the row so far, at stage ``sum``."""
        config, at = self.config, self.at
        total = Signal(config.sum_bits)
        wait = at.beat_sum - at.code
        amount, clear = (delays(m, signal, wait, signal.name)[-1] for signal in rise)
        with m.If(self.valids[at.beat_sum]):
            m.d.sync += total.eq(beat_sum + Mux(clear, 0, shift_right(m, total, amount)))
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

    def _queue(self, width, **options):
        return RowQueue(width, 1 << (self.config.max_rows - 1).bit_length(), **options)

    def _late(self, m, store, reference):
        """Code of what the reference has risen by after a beat, a cycle after stage ``read``."""
        config, at = self.config, self.at
        m.submodules.references = references = self._queue(config.reference_bits)
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
        code = self._late_code(m, (final - self.read.reference)[:config.reference_bits])
        return delays(m, code, 1, "late")[-1]

    def _leading_one(self, m, total):
        """Leading one and bits below of the sum of the row that is read, a cycle after ``read``.

        The place counts from the smallest that a sum can have.
        """
        config, at = self.config, self.at
        least, below = config.smallest_place, config.mantissa_bits
        tail = Cat(Const(0, max(below - least, 0)), total[max(least - below, 0):least])
        place, fraction = leading_one(m, total[least:], tail, below)
        m.submodules.sums = sums = self._queue(len(place) + below, bypass=True)
        log = Signal(sums.width)
        with m.If(self.read_first):
            m.d.sync += log.eq(sums.o)
        m.d.comb += [
            sums.i.eq(Cat(place, fraction)), sums.push.eq(self.ends[at.sum]),
            sums.pop.eq(self.read_valid & self.read_first),
            self.leaving.eq(sums.pop),
        ]
        return log[:len(place)], log[len(place):]

    def _outputs(self, m, late, logarithm, constant):
        """Output beats."""
        config = self.config
        _, beat, corrected = delays(m, self.read, 2, "read")
        valid = delays(m, self.read_valid, 2, "read_valid")[-1]
        number = delays(m, constant, 1, "constant")[-1]
        codes, offset = self._corrected(m, beat, corrected, late, logarithm)

        index_bits = max((config.zero_code - 1).bit_length(), 1)
        total_bits = max(config.code_bits + 1, len(offset) + 1, index_bits)
        words = [row[u] if u < len(row) else 0
                 for row in config.outputs for u in range(1 << index_bits)]
        for k in range(config.lanes):
            total = Signal(total_bits, name=f"total_{k}")
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
        """Codes and an offset, registered, whose sums are the codes to look the outputs up by."""
        offset = Signal(max(len(late), len(logarithm)) + 1, name="offset")
        m.d.sync += offset.eq(late + logarithm)
        return corrected.code, offset


def round_half_up(value, shift, rounding="round"):
    """``value / 2**shift``, rounded half up or truncated towards minus infinity."""
    if shift and rounding == "round":
        value = value + (1 << (shift - 1))
    return value >> shift
