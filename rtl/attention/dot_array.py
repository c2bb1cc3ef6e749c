"""Array of the dot products: from words of keys to rows of logits."""

from amaranth import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.packed_products import PackedDotProduct
from ..blocks.pipeline import delays
from ..blocks.products import DotProduct
from ..blocks.requantise import RequantiserPipeline
from ..blocks.runtime_requantise import RuntimeRequantiser
from ..stream.credit import Credit
from ..stream.fifo import Fifo
from .layouts import LogitLayout
from .parameters import ScalingLayout
from .reuse.dual_array import DualArray

__all__ = ["DotArray"]


class DotArray(wiring.Component):
    """Logits of the keys whose words come in, for the query that comes with a row's first word.

    A pipeline that never stalls: a word that enters takes a credit of the queue behind it, so that
    a stalled output stops no more than it must. Throughput one word per cycle; latency
    :meth:`latency_of` cycles from a word to its logits. Empty after reset.

    With ``dsp_packing`` two lanes share the multipliers of their dot products
    (:class:`~rtl.blocks.packed_products.PackedDotProduct`); the last one of an odd number has its
    own.

    For reuse of maps the multipliers have a second use, in cycles without words: a DSP block's
    last adder then adds to what it holds.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    layout : WordLayout
        Layout of a word.
    hand_on : bool
        Whether logits come with the address of their values. Otherwise the beats of every row are
        the words 0, 1, 2 and so on.

    Members
    -------
    i : In(stream.Signature(layout))
        Words of keys.
    word : Out(layout["word"])
        Word of the keys' store to read.
    keys : In(ArrayLayout(vector, lanes))
        Word that was read, a cycle later: for each lane ``data``, the elements less those that are
        known, and ``mask``.
    known : In(ArrayLayout(known_bits, lanes))
        Known part of the dot products, two cycles after the word. Of width 0 where nothing is.
    o : Out(stream.Signature(LogitLayout(config, word, row)))
        Rows of logits.
    scaling : In(stream.Signature(ScalingLayout(logit_bits)))
        Scale of the next set's logits, taken while its first word is on its way, and valid by then.
        Only with scales at run time.
    borrow : In(1)
        The second use: no words are taken in this cycle, and in the next one the products of
        ``code`` and ``value`` are added up. This and the next four only for reuse.
    start : In(1)
        The sums start with these products.
    code : In(code_bits)
        Code of a key.
    value : In(ArrayLayout(signed(bits), value_dim))
        Value of that key.
    sums : Out(ArrayLayout(signed(sum_bits), value_dim))
        Running sums: each holds a product so many cycles after it came as
        :meth:`~rtl.attention.reuse.dual_array.DualArray.stages_of_sum` says.
    """

    def __init__(self, config, layout, *, hand_on=False):
        self.config = config
        self.layout = layout
        self.hand_on = hand_on
        row, word = layout["row"].shape, layout["word"].shape
        vector = data.StructLayout({
            "data": data.ArrayLayout(signed(config.bits), config.dim - config.known_dims),
            "mask": unsigned(1)})
        element = data.ArrayLayout(signed(config.bits), config.value_dim)
        second = {"borrow": In(1), "start": In(1), "code": In(config.code_bits),
                  "value": In(element),
                  "sums": Out(data.ArrayLayout(signed(config.sum_bits), config.value_dim))}
        super().__init__({
            "i": In(stream.Signature(layout)), "word": Out(word),
            "keys": In(data.ArrayLayout(vector, config.lanes)),
            "known": In(data.ArrayLayout(unsigned(config.known_bits), config.lanes)),
            "o": Out(stream.Signature(LogitLayout(config, word if hand_on else unsigned(0), row))),
            **({"scaling": In(stream.Signature(ScalingLayout(config.logit_bits)))}
               if config.run_time else {}),
            **(second if config.reuse else {}),
        })

    @staticmethod
    def _dot_stages(config):
        """Cycles from a word to its dot products."""
        return 1 + DotProduct.stages(config.array_size, config.known_dims > 0)

    @classmethod
    def stages_of(cls, config):
        """Cycles from a word to its logits at the queue."""
        rounding = (RuntimeRequantiser.latency if config.run_time
                    else RequantiserPipeline.stages(config.logit))
        return cls._dot_stages(config) + rounding

    @classmethod
    def latency_of(cls, config):
        """Cycles from a word to its logits on ``o``."""
        return cls.stages_of(config) + 1

    def elaborate(self, platform):
        m = Module()
        config, word = self.config, self.i.payload
        latency = self.stages_of(config)
        m.submodules.queue = queue = Fifo(self.o.payload.shape(), latency + 2)
        m.submodules.credit = credit = Credit(queue.depth)
        transfer = Signal()
        m.d.comb += [
            self.i.ready.eq(credit.available), transfer.eq(self.i.valid & self.i.ready),
            credit.issue.eq(transfer), credit.done.eq(self.o.valid & self.o.ready),
            self.word.eq(word.word),
        ]
        if config.reuse:
            m.d.comb += self.i.ready.eq(credit.available & ~self.borrow)
        wiring.connect(m, queue.o, wiring.flipped(self.o))

        # The query is in its register when the keys leave the memory.
        query = Signal.like(word.query)
        with m.If(transfer & word.first):
            m.d.sync += query.eq(word.query)
        entry = queue.i
        scaling = self._scaling(m, transfer) if config.run_time else None
        for lane, logit in enumerate(self._logits(m, query, scaling)):
            mask = delays(m, word.mask[lane], 1, f"hidden_{lane}")[-1] | self.keys[lane].mask
            m.d.comb += [
                entry.data[lane].eq(logit),
                entry.mask[lane].eq(delays(m, mask, latency - 1, f"mask_{lane}")[-1]),
            ]

        def late(value, name):
            return delays(m, Value.cast(value), latency, name)[-1]

        m.d.comb += [
            queue.push.eq(late(transfer, "issued")), entry.keep.eq(late(word.keep, "kept")),
            entry.last.eq(late(word.last, "last")), entry.row.eq(late(word.row, "row")),
        ]
        if self.hand_on:
            m.d.comb += entry.word.eq(late(word.word, "word"))
        return m

    def _scaling(self, m, transfer):
        """Scale of the logits whose dot products are there."""
        word, now = self.i.payload, Signal.like(self.scaling.payload)
        # The next row starts a set.
        fresh = Signal(init=1)
        with m.If(transfer):
            m.d.sync += fresh.eq(word.last & word.row.set_end)
        starts = delays(m, transfer & fresh, self._dot_stages(self.config) - 1, "starts")[-1]
        m.d.comb += self.scaling.ready.eq(starts)
        with m.If(starts):
            m.d.sync += now.eq(self.scaling.payload)
        return now

    def _logits(self, m, query, scaling):
        """Yield the logit of each lane in turn."""
        config = self.config
        element, rest, lane = signed(config.bits), query[config.known_dims:], 0
        while lane < config.lanes:
            if config.dsp_packing and lane + 1 < config.lanes:
                dot = PackedDotProduct(config.bits, config.array_size, config.known_bits)
                keys, addends, sums = dot.b, dot.addend, dot.o
            else:
                dot = (self._dual_array() if config.reuse else
                       DotProduct(element, element, config.array_size, config.known_bits))
                keys, addends, sums = [dot.b], [dot.addend], [dot.o]
            m.submodules[f"dot_{lane}"] = dot
            logits = []
            for own, (addend, total) in enumerate(zip(addends, sums, strict=True), lane):
                m.d.comb += addend.eq(self.known[own])
                logits.append(self._logit(m, own, total, dot.offset + config.known_offset, scaling))
            if config.reuse:
                self._second_use(m, dot, query, self.keys[lane])
            else:
                m.d.comb += [port.eq(x) for port, x in zip(dot.a, rest, strict=True)]
                m.d.comb += [port.eq(self.keys[own].data[j])
                             for own, ports in enumerate(keys, lane)
                             for j, port in enumerate(ports)]
            yield from logits
            lane += len(logits)

    def _dual_array(self):
        """Array that adds up values, too."""
        config = self.config
        # A code has no sign.
        wide = signed(max(config.bits, config.code_bits + 1))
        return DualArray(wide, signed(config.bits), config.array_size, *config.sum_range)

    def _second_use(self, m, dot, query, key):
        """Operands of both uses of the multipliers."""
        config = self.config
        turned = delays(m, self.borrow, 1, "turned")[-1]
        m.d.comb += [dot.accumulate.eq(turned), dot.first.eq(self.start)]
        # Of an array as long as the longer of the two vectors the rest multiplies zeros.
        for j in range(config.array_size):
            held, borrowed = j < config.dim, j < config.value_dim
            m.d.comb += [
                dot.a[j].eq(Mux(turned, self.code if borrowed else 0, query[j] if held else 0)),
                dot.b[j].eq(Mux(turned, self.value[j] if borrowed else 0,
                                key.data[j] if held else 0))]
            if borrowed:
                m.d.comb += self.sums[j].eq(dot.sums[j])

    def _logit(self, m, lane, dot_product, offset, scaling):
        """Logit of a lane, from its dot product with a constant on top."""
        config = self.config
        if config.run_time:
            requantise = RuntimeRequantiser(config.dot_bits, config.logit_bits,
                                            offset_bits=config.logit_bits)
            m.d.comb += [requantise.i[0].eq(dot_product - offset),
                         *(getattr(requantise, name).eq(scaling[name])
                           for name in ("multiplier", "shift", "offset"))]
        else:
            requantise = RequantiserPipeline(config.logit, *config.dot_range,
                                             unsigned(len(dot_product)), offset)
            m.d.comb += requantise.i.eq(dot_product)
        m.submodules[f"logit_{lane}"] = requantise
        return requantise.o[0] if config.run_time else requantise.o
