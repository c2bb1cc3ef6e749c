"""Hardware that all LayerNorm units share."""

import dataclasses

from amaranth import Cat, Const, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..blocks.block_table import BlockTable
from ..blocks.lookup import lookup
from ..blocks.pipeline import delays
from ..stream.fifo import FifoStorage as RowQueue
from ..stream.row_store import RowStore
from ..stream.row_unit import RowDatapath, RowUnit
from .beat_sum import BeatSum, add
from .channels import ChannelTable
from .config import LENGTH_BITS

__all__ = ["Datapath", "LayerNorm", "Schedule"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Pipeline stages: cycles from a beat accepted until a register holds what is made of it.

    The store is written as late as the statistics allow: a row is read as soon as it is complete,
    and its first beat meets mean and factor in the cycle in which each is known.
    """

    #: Elements in steps of the zero point, and the alphas of their channels.
    centred: int
    #: Elements times their factors.
    value: int
    #: Operands of the sum of squares.
    square: int
    #: Sum of the elements of the row so far.
    total: int
    #: Sum of the squares of the row so far.
    squares: int
    #: Negated mean.
    mean: int
    #: Radicand.
    radicand: int
    #: Radicand with its leading one in the top pair of bits.
    normal: int
    #: Mantissa of the reciprocal root.
    mantissa: int
    #: The same with the root of the length.
    root: int
    #: Reciprocal of the deviation, and the beat that is read.
    read: int

    @classmethod
    def of(cls, config, *, squares, chained, radicand, mantissa):
        """Stages of a config.

        Parameters
        ----------
        squares : int
            Cycles from the centred elements to the operands of the sum of squares.
        chained : bool
            How the squares are added.
        radicand : callable
            Stage of the radicand from those of both sums and of the mean.
        mantissa : int
            Cycles from the normalised radicand to the mantissa.
        """
        centred = max(config.alpha_words.latency, 1)
        value = centred + 1
        square = centred + squares
        stages = BeatSum.stages(config.lanes, chained)
        # The elements take a chain or a tree of the same depth as the squares.
        total, sum_of_squares = value + stages + 1, square + stages + 1
        mean = total + 2 + 2 * config.variable
        weight = radicand(total, sum_of_squares, mean)
        root = weight + 2 + mantissa + 2 * config.variable
        return cls(centred=centred, value=value, square=square, total=total,
                   squares=sum_of_squares, mean=mean,
                   radicand=weight, normal=weight + 2, mantissa=weight + 2 + mantissa, root=root,
                   read=root + 1)

    @property
    def write(self):
        """Beat to be written to the store."""
        return self.read - 3

    @property
    def output(self):
        """Output."""
        return self.read + 7


class LayerNorm(RowUnit):
    """LayerNorm unit; its config says what it computes.

    First pass: sums of the elements (stored) and of their squares, from them mean and reciprocal
    of the deviation. Second pass: two multiplications an element.

    Where the channels' parameters are loaded, a load is ``config.max_beats`` beats of ``load``, the
    last one with ``last``. The parameters hold from the first row on that begins after the load's
    last beat, as a whole; rows that have begun keep theirs. The next load is taken up once no row
    needs the parameters before. ``load`` moves with the unit: nothing is taken from it while the
    output is stalled. A load of another number of beats is ignored and raises ``error``. Reset
    drops a load that is under way or has not met a row yet; the parameters in use hold on.

    Members
    -------
    load : In(stream.Signature(config.load_layout))
        Parameters of the channels, if they are loaded.
    """

    def __init__(self, config, datapath):
        ports = {"load": In(stream.Signature(config.load_layout))} if config.loaded else {}
        super().__init__(config, datapath, **ports)

    def elaborate(self, platform):
        m = super().elaborate(platform)
        if self.config.loaded:
            enable = self.o.ready | ~self.o.valid
            m.d.comb += [
                self.datapath.load.eq(self.load.payload),
                self.datapath.load_valid.eq(self.load.valid),
                self.load.ready.eq(enable & self.datapath.load_ready),
                self.error.eq(m.submodules.rows.error | self.datapath.load_error),
            ]
        return m


class Datapath(RowDatapath):
    """Both passes, but for the squares, the radicand and the mantissa, which a method adds.

    Members
    -------
    load : In(config.load_layout)
        Beat of parameters, and ``load_valid``, ``load_ready``; only if they are loaded.
    load_error : Out(1)
        A load had the wrong number of beats. Sticky.
    """

    def __init__(self, config):
        ports = {"load": In(config.load_layout), "load_valid": In(1), "load_ready": Out(1),
                 "load_error": Out(1)} if config.loaded else {}
        super().__init__(config, **ports)
        self.at = config.schedule

    # What a method adds -------------------------------------------------------------------------

    def squares(self, m, sums, values):
        """Drive the operands of ``sums``, the sum of squares of a beat."""
        raise NotImplementedError

    def weigh(self, m, total, squares, mean):
        """Radicand at its stage, from the sums and the negated mean (None for RMSNorm)."""
        raise NotImplementedError

    #: How the squares of a beat are added.
    chained = None

    #: Bits of the radicand from the leading pair on that the mantissa is made of.
    normal_bits = None

    def find_mantissa(self, m, normal):
        """Mantissa at its stage, from the radicand's leading bits."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------------------

    def elaborate(self, platform):
        m = Module()
        config, at = self.config, self.at
        self.valids = delays(m, self.valid, max(at.write, at.squares), "valid")
        self.firsts = delays(m, self.first, at.squares, "first")
        self.ends = delays(m, self.valid & self.end, at.read, "end")
        self.keeps = delays(m, self.kept, at.write, "kept")
        self.index = self._count(m, self.valid, self.end, "index")
        self.bank = Const(0, 1)
        if config.loaded:
            self._load(m)

        # First pass: elements, sums, mean, reciprocal of the deviation.
        values = self._values(m)
        total, squares = self._sums(m, values)
        scale = self._scale(m)
        self.length = scale["length"]
        self.epsilon = self._epsilon(m, scale)
        mean = None if config.rms else self._mean(m, total, scale)
        radicand = self.weigh(m, total, squares, mean)
        factor = self._factor(m, radicand, scale)

        # Second pass: normalisation, gamma and beta.
        store = self._store(m, values)
        normal = self._normal(m, store, mean, factor)
        self._outputs(m, normal)
        return m

    def _count(self, m, valid, end, name):
        """Number of a beat in its row."""
        count = Signal(range(max(self.config.max_beats, 2)), name=name)
        with m.If(valid):
            m.d.sync += count.eq(count + 1)
            with m.If(end):
                m.d.sync += count.eq(0)
        return count

    # Parameters of the channels -----------------------------------------------------------------

    def _load(self, m):
        """Loads and the banks that they go to: one is in use, the other one waits or is filled.

        A bank stays in use until the first beat of a row with the other one is read.
        """
        config = self.config
        active = Signal(reset_less=True)
        waiting, busy = Signal(), Signal()
        swap = Signal()
        self.load_beat = Signal()
        self.load_bank = Signal()
        self.read_bank = Signal()
        self.read_bank_valid = Signal()
        self.load_index = count = Signal(range(max(config.max_beats, 2)))
        ignoring = Signal()
        final = Signal()
        m.d.comb += [
            swap.eq(self.valid & self.first & waiting),
            self.load_ready.eq(~waiting & ~busy),
            self.load_beat.eq(self.load_valid & self.load_ready),
            self.load_bank.eq(~active),
            final.eq(count == config.max_beats - 1),
        ]
        self.bank = Signal()
        m.d.comb += self.bank.eq(active ^ (self.first & waiting))
        with m.If(self.read_bank_valid & (self.read_bank == active)):
            m.d.sync += busy.eq(0)
        with m.If(swap):
            m.d.sync += [active.eq(~active), waiting.eq(0), busy.eq(1)]
        with m.If(self.load_beat):
            m.d.sync += count.eq(count + 1)
            with m.If(self.load.last | final):
                m.d.sync += count.eq(0)
            with m.If(self.load.last):
                m.d.sync += ignoring.eq(0)
            with m.Elif(final):
                m.d.sync += ignoring.eq(1)
            with m.If(self.load.last & final & ~ignoring):
                m.d.sync += waiting.eq(1)
            with m.Elif(self.load.last != final):
                m.d.sync += self.load_error.eq(1)

    def _connect_load(self, m, table):
        """Let loads into a table."""
        if self.config.loaded:
            m.d.comb += [table.write.eq(self.load_beat), table.write_bank.eq(self.load_bank),
                         table.write_index.eq(self.load_index)]
            m.d.comb += [
                table.write_data[name][lane].eq(self.config.load_layout.parameter(
                    self.load, name, lane))
                for name in table.words.layout.members for lane in range(self.config.lanes)]

    # First pass ---------------------------------------------------------------------------------

    def _values(self, m):
        """Elements times their factors, at stage ``value``; 0 for lanes without an element."""
        config, at = self.config, self.at
        m.submodules.alpha = table = ChannelTable(config.alpha_words)
        if config.alpha_bits:
            m.d.comb += [table.index.eq(self.index), table.bank.eq(self.bank)]
            self._connect_load(m, table)
        lives = delays(m, self.kept, at.value - 1, "live")
        self.live = lives[-1]
        # Elements as they come, a stage before they are centred.
        self.raw = delays(m, Cat(self.data), at.centred - 1, "raw")[-1]
        values = []
        self.alphas = []
        for k in range(config.lanes):
            raw = self.raw.word_select(k, config.bits)
            raw = raw.as_signed() if config.signed_input else raw
            centred = Signal(range(config.centred_range[0], config.centred_range[1] + 1),
                             name=f"centred_{k}")
            m.d.sync += centred.eq(raw - config.zero_point)
            alpha = Const(0, 1)
            if config.top_alpha:
                alpha = table.o.alpha[k][:config.top_alpha.bit_length()]
            self.alphas.append(alpha)
            value = Signal(signed(config.value_bits), name=f"value_{k}", reset_less=True)
            with m.If(self.live[k]):
                m.d.sync += value.eq(_shift_left(m, centred, alpha, signed(config.value_bits),
                                                 f"value_{k}"))
            with m.Else():
                m.d.sync += value.eq(0)
            values.append(value)
        return values

    def _sums(self, m, values):
        """Sums of the elements and of the squares of the row so far, each at its stage."""
        config, at = self.config, self.at
        total = None
        if not config.rms:
            low, high = config.value_range
            low, high = min(low, 0), max(high, 0)
            m.submodules.elements = elements = BeatSum(low, high, config.lanes,
                                                       chained=self.chained)
            for k, value in enumerate(values):
                late = delays(m, Cat(value), elements.delay(k, self.chained), f"value_{k}")[-1]
                m.d.comb += elements.i[k].eq(late.as_signed())
            # Signed, even if no element is below the zero point.
            total = Signal(range(min(low, -1) * config.channels, high * config.channels + 1))
            before = Mux(self.firsts[at.total - 1], 0, total)
            with m.If(self.valids[at.total - 1]):
                # Not a plain sum, which would move into the multiplier behind it besides.
                m.d.sync += total.eq(add(m, elements.o, before, total.shape(), "total_next"))

        m.submodules.squares = sums = BeatSum(0, config.top_square, config.lanes,
                                              chained=self.chained)
        self.squares(m, sums, values)
        squares = Signal(range(config.top_square * config.channels + 1))
        with m.If(self.valids[at.squares - 1]):
            m.d.sync += squares.eq(sums.o + Mux(self.firsts[at.squares - 1], 0, squares))
        return total, squares

    def _scale(self, m):
        """What the length enters into, at stage ``total``: constants, or words of a memory.

        The reciprocal is negated, as the mean is.
        """
        config, at = self.config, self.at
        if not config.variable:
            scale = config.scales[config.channels]
            reciprocal = Const(-scale.reciprocal, signed(LENGTH_BITS + 2))
            return {"reciprocal": reciprocal, "shift": scale.shift,
                    "epsilon": scale.epsilon, "length": config.channels}
        lanes, beats = config.lanes, config.max_beats
        rows = []
        for beat in range(beats):
            for lane in range(1 << (lanes - 1).bit_length()):
                length = beat * lanes + lane + 1
                rows.append(config.scales.get(length) if lane < lanes else None)
        highest = max(scale.epsilon for scale in config.scales.values())
        offsets = [config.exponent_offset(length) for length in config.scales]
        self.offset_base = min(offsets)
        layout = data.StructLayout({
            "reciprocal": signed(LENGTH_BITS + 2), "shift": 4, "root": LENGTH_BITS + 1,
            "offset": max((max(offsets) - self.offset_base).bit_length(), 1),
            "epsilon": highest.bit_length(), "length": config.channels.bit_length()})
        init = [{} if scale is None else {
            "reciprocal": -scale.reciprocal, "shift": scale.shift,
            "root": int(scale.root * (1 << LENGTH_BITS) + 0.5),
            "offset": config.base_exponent - scale.exponent - self.offset_base,
            "epsilon": scale.epsilon, "length": number // (1 << (lanes - 1).bit_length()) * lanes
            + number % (1 << (lanes - 1).bit_length()) + 1} for number, scale in enumerate(rows)]
        style = config.memory
        if style == "auto":
            style = "block" if len(init) > 64 else "distributed"
        # The highest lane that is kept, which the low bits of its number say one by one.
        kept = self.kept
        lane = Cat(Cat(kept[k] & ~(kept[k + 1] if k + 1 < lanes else Const(0, 1))
                       for k in range(lanes) if k >> bit & 1).any()
                   for bit in range((lanes - 1).bit_length()))
        address = Signal(range(max(len(init), 2)), name="length_index")
        m.d.sync += address.eq(Cat(lane, self.index))
        word = Signal(layout, name="length_word")
        words = [layout.const(row).as_value().value for row in init]
        if style == "block":
            m.submodules.lengths = table = BlockTable(words, layout.size, 1)
            m.d.comb += [table.index[0].eq(address), word.eq(table.o[0])]
        else:
            # Of contents that are only read, Yosys makes no LUT RAM: they are logic.
            read = Signal(layout, name="length_read")
            m.d.sync += [read.eq(lookup(m, address, words)), word.eq(read)]
        word = delays(m, word, at.total - 3, "length")[-1]
        return {name: word[name] for name in layout.members}

    def _epsilon(self, m, scale):
        """Epsilon, a stage before the radicand's for RMSNorm, and two before it otherwise."""
        config, at = self.config, self.at
        if not config.variable:
            return scale["epsilon"]
        wait = at.radicand - at.total - (1 if config.rms else 2)
        return delays(m, scale["epsilon"], wait, "epsilon")[-1]

    def _mean(self, m, total, scale):
        """Negated mean, at stage ``mean``."""
        config = self.config
        shift = LENGTH_BITS - config.mean_bits - 1
        product = Signal(signed(len(total) + LENGTH_BITS + 3), name="mean_product",
                         reset_less=True)
        negated = Signal(signed(config.mean_width))
        if not config.variable:
            # Rounded in one go, which comes to the same.
            shift += scale["shift"]
            rounded = Signal.like(product, name="mean_rounded", reset_less=True)
            m.d.sync += [product.eq(total * scale["reciprocal"]),
                         rounded.eq(product + (1 << shift))]
            m.d.comb += negated.eq(rounded[shift + 1:].as_signed())
            return negated
        kept = Signal.like(product, name="mean_kept", reset_less=True)
        m.d.sync += [product.eq(total * scale["reciprocal"]), kept.eq(product)]
        amount = delays(m, scale["shift"], 2, "mean_shift")[-1]
        shifted = Signal(signed(config.mean_width + 2), name="mean_shifted")
        m.d.sync += [shifted.eq(kept[shift:].as_signed() >> amount),
                     negated.eq((shifted + 1) >> 1)]
        return negated

    def _factor(self, m, radicand, scale):
        """Reciprocal of the deviation, at stage ``read``, before it is held for its row."""
        config, at = self.config, self.at
        normal, zeros = self._normalise(m, radicand)
        mantissa = self.find_mantissa(m, normal)
        wait = at.mantissa - at.normal
        zeros = delays(m, zeros, wait, "zeros")[-1]
        limit = (2 << config.root_bits) - 1
        if config.variable:
            late = at.mantissa - at.total
            root = delays(m, scale["root"], late, "root")[-1]
            offset = delays(m, scale["offset"], late, "offset")[-1]
            product = Signal(unsigned(len(mantissa) + LENGTH_BITS + 2), name="root_product",
                             reset_less=True)
            m.d.sync += product.eq(mantissa * root)
            rounded = Signal(config.root_bits + 2)
            m.d.comb += rounded.eq((product + (1 << (LENGTH_BITS - 1))) >> LENGTH_BITS)
            mantissa = Signal(config.root_bits + 1, name="rooted")
            m.d.sync += mantissa.eq(Mux(rounded > limit, limit, rounded))
            exponent = Signal(range(config.leading_pairs + config.exponent_offset(1) + 4))
            m.d.sync += exponent.eq(zeros + offset + self.offset_base)
            zeros = Signal(range(config.top_exponent + 1), name="exponent")
            m.d.sync += zeros.eq(Mux(exponent > config.top_exponent, config.top_exponent, exponent))
        factor = Signal(config.factor_width, reset_less=True)
        shifted = _shift_left(m, mantissa, zeros, unsigned(config.factor_width), "factor")
        if config.variable:
            m.d.sync += factor.eq(shifted)
        else:
            # Held: the next row's comes when this row has left.
            with m.If(self.ends[at.read - 1]):
                m.d.sync += factor.eq(shifted)
        return factor

    def _normalise(self, m, radicand):
        """Leading bits of the clamped radicand and the pairs of zeros before them, two cycles on.

        The leading one is in the first or the second bit.
        """
        config = self.config
        pairs, width, need = config.leading_pairs, config.radicand_bits, self.normal_bits
        # A last pair behind a power of two of them is looked at aside, not by a step of its own.
        aside = pairs > 0 and pairs & (pairs - 1) == 0
        steps = pairs.bit_length() - aside
        least = 1 << (need - 2)
        negative = radicand[-1] if radicand.shape().signed else 0
        small = ~radicand[width - 2 * pairs - 2 * (not aside):width].any() | negative
        fallback = Const(least, need)
        if aside:
            rest = width - 2 * pairs
            fallback = Cat(Const(0, max(need - rest, 0)), radicand[max(rest - need, 0):rest])
            fallback = Mux(radicand[rest - 2:rest].any() & ~negative, fallback, least)[:need]
        current = radicand[:width]
        zeros = Const(0, 0)
        for step in reversed(range(max(steps, 1))):
            if steps:
                current, empty = self._skip_zeros(m, current, step)
                zeros = Cat(empty, zeros)
            # The first steps look at the most bits.
            if step == max(steps - 2, 0):
                current, zeros, small, fallback = self._register(m, {
                    "rest": current, "zeros": zeros, "small": small, "fallback": fallback})
        current = Cat(Const(0, max(need - len(current), 0)), current)
        normal = Signal(need)
        count = Signal(range(pairs + 1))
        m.d.sync += [normal.eq(current[len(current) - need:]), count.eq(zeros)]
        with m.If(small):
            m.d.sync += [normal.eq(fallback), count.eq(pairs)]
        return normal, count

    def _skip_zeros(self, m, current, step):
        """Shift to the left by ``2**step`` pairs, if they are zeros, and say whether they were."""
        size = 2 << step
        # What may still come to the top, and no more.
        keep = size - 2 + self.normal_bits
        current = Cat(Const(0, max(size + keep - len(current), 0)), current)
        top = len(current)
        empty = Signal(name=f"empty_{step}")
        chosen = Signal(keep, name=f"normal_{step}")
        m.d.comb += [
            empty.eq(~current[top - size:].any()),
            chosen.eq(Mux(empty, current[top - size - keep:top - size], current[top - keep:])),
        ]
        return chosen, empty

    def _register(self, m, values):
        """Registers in the middle of the normalisation."""
        registers = []
        for name, value in values.items():
            register = Signal(len(value), name=f"normal_{name}")
            m.d.sync += register.eq(value)
            registers.append(register)
        return registers

    def index_of(self, normal):
        """Index of the tables of roots: parity of the place of the leading one, bits below it."""
        below = self.config.rsqrt_index_bits - 1
        top = len(normal) - 1
        fraction = Mux(normal[top], normal[top - below:top], normal[top - 1 - below:top - 1])
        return Cat(fraction, normal[top])

    # Second pass --------------------------------------------------------------------------------

    @property
    def _store_layout(self):
        """What is kept of a beat until its row is complete."""
        config = self.config
        members = {"value": data.ArrayLayout(signed(config.value_bits), config.lanes),
                   "keep": unsigned(config.lanes), "last": unsigned(1)}
        if config.loaded:
            members["bank"] = unsigned(1)
        return data.StructLayout(members)

    def _store(self, m, values):
        """Beats of complete rows."""
        config, at = self.config, self.at
        m.submodules.store = store = RowStore(self._store_layout, config.max_beats,
                                              memory=config.memory)
        wait = at.write - at.value
        m.d.comb += [
            store.i.value.as_value().eq(delays(m, Cat(values), wait, "values")[-1]),
            store.i.keep.eq(self.keeps[at.write]),
            store.i.last.eq(self.ends[at.write]),
            store.write.eq(self.valids[at.write]),
            store.last.eq(self.ends[at.write]),
        ]
        if config.loaded:
            banks = delays(m, self.bank, at.write, "bank")
            # A row's first beat chooses for the others.
            m.d.comb += store.i.bank.eq(banks[-1])
        return store

    def _normal(self, m, store, mean, factor):
        """Elements less the mean times the factor, three cycles after the beat is read."""
        config = self.config
        first = Signal(init=1)
        with m.If(store.valid):
            m.d.sync += first.eq(store.o.last)
        # The last registers before a multiplier have no reset, so that they can move into it. One
        # behind a block RAM must stay where it is.
        read = Signal(self._store_layout, reset_less=not config.rms)
        self.read_valid, self.read_first = Signal(), Signal()
        m.d.sync += [read.eq(store.o), self.read_valid.eq(store.valid), self.read_first.eq(first)]
        self.read = read
        if config.loaded:
            m.d.comb += [self.read_bank.eq(read.bank), self.read_bank_valid.eq(self.read_valid)]
        mean, factor = self._row(m, store, first, mean, factor)

        half = (1 << config.normal_shift) >> 1
        normals = []
        for k in range(config.lanes):
            value = Cat(Const(0, config.mean_bits), read.value[k]).as_signed()
            if mean is not None:
                value = mean + value
            width = config.difference_width
            centred = Signal(signed(width), name=f"difference_{k}", reset_less=True)
            product = Signal(signed(width + config.factor_width + 1), name=f"product_{k}",
                             reset_less=True)
            normal = Signal.like(product, name=f"normal_{k}", reset_less=True)
            m.d.sync += [centred.eq(value),
                         product.eq(centred * Cat(factor, Const(0, 1)).as_signed()),
                         normal.eq(product + half)]
            normals.append(normal[config.normal_shift:][:config.normal_width].as_signed())
        return normals

    def _row(self, m, store, first, mean, factor):
        """Mean at stage ``read`` and factor a cycle later, each as long as the row is read."""
        config, at = self.config, self.at
        held = None if mean is None else Signal.like(mean, name="mean_held", reset_less=True)
        factor_held = Signal.like(factor, name="factor_held", reset_less=True)
        if config.variable:
            depth = 1 << (config.max_rows - 1).bit_length()
            if mean is not None:
                m.submodules.means = means = RowQueue(len(mean), depth)
                m.d.comb += [means.i.eq(mean), means.push.eq(self.ends[at.mean]),
                             means.pop.eq(store.valid & first)]
                mean = means.o.as_signed()
            m.submodules.factors = factors = RowQueue(len(factor), depth, bypass=True)
            m.d.comb += [factors.i.eq(factor), factors.push.eq(self.ends[at.read]),
                         factors.pop.eq(self.read_valid & self.read_first),
                         self.leaving.eq(factors.pop)]
            factor = factors.o
        elif mean is not None:
            mean = delays(m, mean, at.read - 2 - at.mean, "mean")[-1]
            latest = Signal.like(mean, name="mean_latest", reset_less=True)
            with m.If(self.ends[at.read - 2]):
                m.d.sync += latest.eq(mean)
            mean = latest
        if mean is not None:
            with m.If(first):
                m.d.sync += held.eq(mean)
        with m.If(self.read_first):
            m.d.sync += factor_held.eq(factor)
        return held, factor_held

    def _outputs(self, m, normals):
        """Output beats."""
        config = self.config
        m.submodules.affine = table = ChannelTable(config.affine_words)
        self._connect_load(m, table)
        index = self._count(m, self.read_valid, self.read.last, "read_index")
        m.d.comb += table.index.eq(index)
        if config.loaded:
            m.d.comb += table.bank.eq(self.read.bank)
        # The elements come three cycles after the beat.
        wait = 2 - config.affine_words.latency
        gammas = [_late(m, delays(m, table.o.gamma[k], wait, f"gamma_{k}")[-1], f"gamma_{k}_late")
                  for k in range(config.lanes)]
        keeps = delays(m, self.read.keep, 6, "read_keep")
        lasts = delays(m, self.read.last, 6, "read_last")
        valids = delays(m, self.read_valid, 6, "read_valid")
        shift = config.output_shift
        for k, normal in enumerate(normals):
            product = Signal(signed(config.normal_width + config.gamma_bits), name=f"scaled_{k}",
                             reset_less=True)
            m.d.sync += product.eq(normal * gammas[k])
            offset = Const((1 << shift) >> 1, signed(shift + 2))
            if not config.rms:
                place = shift - config.beta_fraction_bits
                beta = delays(m, table.o.beta[k], wait + 2, f"beta_{k}")[-1]
                # Half an output step is below beta's own, or is added to a constant.
                offset = Signal(signed(max(place + config.beta_bits, shift) + 1),
                                name=f"offset_{k}")
                m.d.comb += offset.eq(Cat(Const(0, place), beta).as_signed() + ((1 << shift) >> 1))
            width = max(len(product) + 1, len(offset) + 1, shift + config.out_bits + 1)
            total = Signal(signed(width), name=f"total_{k}", reset_less=True)
            m.d.sync += total.eq(product + offset)
            self._saturate(m, total[shift:].as_signed(), keeps[5][k], k)
        m.d.sync += [self.o.keep.eq(keeps[-1]), self.o.last.eq(lasts[-1]),
                     self.o_valid.eq(valids[-1])]

    def _saturate(self, m, value, keep, k):
        """Output of a lane, two cycles later."""
        bits = self.config.out_bits
        low = Signal(bits, name=f"low_{k}", reset_less=True)
        over, sign = Signal(name=f"over_{k}"), Signal(name=f"sign_{k}")
        high = value[bits - 1:]
        m.d.sync += [low.eq(value[:bits]), sign.eq(value[-1]), over.eq(high.any() & ~high.all())]
        output = Signal(bits, name=f"output_{k}", reset_less=True)
        kept = Signal(name=f"output_keep_{k}")
        m.d.sync += kept.eq(keep)
        with m.If(kept):
            m.d.sync += output.eq(Mux(over, Cat((~sign).replicate(bits - 1), sign), low))
        with m.Else():
            m.d.sync += output.eq(0)
        m.d.comb += self.o.data[k].eq(output)


def _late(m, value, name):
    """Register without a reset, which can move into a multiplier."""
    late = Signal.like(value, name=name, reset_less=True)
    m.d.sync += late.eq(value)
    return late


def _shift_left(m, value, amount, shape, name):
    """``value << amount``, one two-bit step of the amount at a time. Combinational."""
    shape = Shape.cast(shape)
    for low in range(0, len(amount), 2):
        step = amount[low:low + 2]
        chosen = Signal(shape, name=f"{name}_shifted_{low}")
        with m.Switch(step):
            for i in range(1 << len(step)):
                with m.Case(i):
                    m.d.comb += chosen.eq(value << (i << low))
        value = chosen
    return value
