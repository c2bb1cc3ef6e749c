"""From the sums of rows to logits and elements of the transformed vector."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.memory import BankedMemory
from ..blocks.pipeline import delays
from ..fixed import saturated, signed_width
from ..stream.fifo import FifoStorage
from .round_shift import RoundShift
from .row_sums import Pass

__all__ = ["RowResults"]


class RowResults(wiring.Component):
    """Adds to each row's sum what belongs to it, rounds it, and keeps the sums of the preview.

    ======= =========================================== =====================
    kind    value                                       shift
    ======= =========================================== =====================
    PREVIEW sum + bias, which is stored under ``index`` ``shift``
    TAIL    stored sum of ``index`` * 2**t + sum        ``shift`` + t
    BASIS   sum + offset of the record                  the record's
    ======= =========================================== =====================

    Latency :attr:`LATENCY` cycles from ``done`` to ``valid``, throughput one row per cycle; never
    stalls. ``done`` must come :attr:`AHEAD` to :attr:`DEPTH` - 3 cycles after its row's ``ends``.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    kind : In(Pass)
        What the rows are; held while there are any.
    shift : In(config.SHIFT_BITS)
        Shift from the preview's sums to logits.
    ends : In(1)
        A row's last part is taken: ``index`` and ``record`` are its.
    index : In(range(config.max_vocab))
        Word of the vocabulary, or element of the vector.
    live : In(1)
        The row is a word, and not one that fills up a block.
    record : In(64)
        Bias or record.
    total : In(signed(config.row_bits))
        Sum of the row.
    done : In(1)
        ``total`` holds it.
    valid : Out(1)
        The other outputs hold a result.
    result_index : Out(range(config.max_vocab))
        ``index`` of the result.
    result_live : Out(1)
        ``live`` of the result.
    logit : Out(signed(16))
        Logit.
    element : Out(signed(config.hidden_bits))
        Element of the transformed vector.
    """

    LATENCY = 1 + RoundShift.LATENCY + 1

    #: Cycles from ``ends`` until what belongs to the row is known, and rows that it is kept of.
    AHEAD, DEPTH = 3, 32

    def __init__(self, config):
        self.config = config
        super().__init__({
            "kind": In(Pass), "shift": In(config.SHIFT_BITS), "ends": In(1),
            "index": In(range(config.max_vocab)), "live": In(1), "record": In(64),
            "total": In(signed(config.row_bits)), "done": In(1), "valid": Out(1),
            "result_index": Out(range(config.max_vocab)), "result_live": Out(1),
            "logit": Out(signed(config.LOGIT_BITS)),
            "element": Out(signed(config.hidden_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        basis = config.transform == "engine"
        m.submodules.partials = partials = BankedMemory(
            signed(config.preview_bits), config.max_vocab, config.memory)
        m.d.comb += partials.read.eq(self.index)

        # What belongs to a row waits for its sum.
        bias = delays(m, self.record[:config.BIAS_BITS].as_signed(), 2, "bias")[-1]
        added = Signal(signed(max(config.preview_bits, config.OFFSET_BITS if basis else 1)))
        row_shift = Signal(config.BASIS_SHIFT_BITS)
        m.d.comb += added.eq(Mux(self.kind == Pass.TAIL, partials.o, bias))
        if basis:
            record = delays(m, self.record[:config.BASIS_SHIFT_BITS], 2, "row_shift")[-1]
            offset = delays(m, self.record[8:8 + config.OFFSET_BITS].as_signed(), 2, "offset")[-1]
            m.d.comb += row_shift.eq(record)
            with m.If(self.kind == Pass.BASIS):
                m.d.comb += added.eq(offset)
        entry = Cat(added, row_shift, delays(m, self.index, 2, "index")[-1],
                    delays(m, self.live, 2, "live")[-1])
        m.submodules.waiting = waiting = FifoStorage(len(entry), self.DEPTH)
        m.d.comb += [waiting.i.eq(entry), waiting.push.eq(delays(m, self.ends, 2, "pushed")[-1]),
                     waiting.pop.eq(self.done)]
        known = Signal.like(added)
        known_shift = Signal.like(row_shift)
        index = Signal.like(self.index)
        live = Signal()
        m.d.comb += Cat(known, known_shift, index, live).eq(waiting.o)

        # The value, and how far it is shifted.
        value = Signal(signed(config.value_bits), reset_less=True)
        tail = self.kind == Pass.TAIL
        scaled = Cat(Const(0, config.tail_shift), known[:config.preview_bits]).as_signed()
        m.d.sync += value.eq(Mux(tail, scaled, known) + self.total)
        shift_bits = max(config.BASIS_SHIFT_BITS if basis else 0,
                         ((1 << config.SHIFT_BITS) - 1 + config.tail_shift).bit_length())
        widest = max(config.LOGIT_BITS, config.hidden_bits)
        m.submodules.round = rounding = RoundShift(config.value_bits, shift_bits, widest)
        m.d.sync += rounding.shift.eq(Mux(tail, self.shift + config.tail_shift, self.shift))
        if basis:
            with m.If(self.kind == Pass.BASIS):
                m.d.sync += rounding.shift.eq(known_shift)
        m.d.comb += rounding.i.eq(value)
        cycles = self.LATENCY
        valids = delays(m, self.done, cycles, "valid")
        indices, lives = delays(m, index, cycles, "result"), delays(m, live, cycles, "lives")
        m.d.comb += [
            partials.address.eq(indices[1]), partials.data.eq(value),
            partials.write.eq(valids[1] & lives[1] & (self.kind == Pass.PREVIEW)),
            self.valid.eq(valids[-1]), self.result_index.eq(indices[-1]),
            self.result_live.eq(lives[-1]),
        ]
        m.d.sync += [self.logit.eq(saturated(rounding.o, config.LOGIT_BITS)),
                     self.element.eq(saturated(rounding.o, config.hidden_bits))]
        assert signed_width(*config.preview_range) == config.preview_bits
        return m
