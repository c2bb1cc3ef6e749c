"""Biases and masks of each query's keys, a stream of their own, added to the logits."""

from amaranth import Module, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..data_sheet import Format
from ..fixed import saturated
from .vector_beat import VectorLayout

__all__ = ["BIASES", "LogitBias", "bias_format", "bias_framing", "bias_layout", "biased"]

#: What a beat of biases has for each key: nothing, a mask, or a bias that may be a mask.
BIASES = "none", "mask", "add"


def bias_layout(config):
    """Layout of a beat of biases: ``data``, of ``lanes`` keys, and ``last``, which ends a row.

    With ``bias`` "mask" an element is 1 for a key that takes no part; with "add" it is a bias in
    logit steps, signed, of which the least one, ``-2**(bias_bits - 1)``, stands for minus infinity:
    the key takes no part.
    """
    element = unsigned(1) if config.bias == "mask" else signed(config.bias_bits)
    return VectorLayout(element, config.lanes)


def bias_format(config, keys):
    """Return what the elements of a row of biases are, of up to ``keys`` keys."""
    meaning, scale = "1: the key takes no part for this query", None
    if config.bias == "add":
        least = -(1 << (config.bias_bits - 1))
        meaning = f"bias of a key's logit for this query; {least}: the key takes no part"
        scale = config.logit_scale
    return Format(meaning, scale, least=config.lanes, most=-(-keys // config.lanes) * config.lanes,
                  step=config.lanes)


def bias_framing(config, order):
    """Return how rows of biases are framed, in a sentence that begins with a space, or nothing."""
    if config.bias == "none":
        return ""
    return (f" Each output has a row of biases, in the order of the outputs: a beat for each word "
            f"of {config.lanes} keys that the query meets, {order}, TLAST high in the row's last "
            "beat.")


class LogitBias(wiring.Component):
    """``x = saturate(x + b)`` of rows of logits, each with a row of biases of as many beats.

    A key whose bias says that it takes no part is masked; elements of keys that take no part anyway
    do not count. A row waits for its biases. Throughput one beat per cycle; latency
    :meth:`latency_of` cycles; ``ready`` passes through combinationally. Empty after reset.

    A row of biases that ends too early leaves the rest of its row masked; of one that is too long
    the rest is dropped, up to its ``last``. Both mark the row and those behind it up to the end of
    its set, and the next row has its own biases. A row that is marked already may have any number
    of beats: it failed before, and is shorter than its query's.

    Parameters
    ----------
    config : AttentionConfig
        Configuration with a ``bias``.
    layout : LogitLayout
        Layout of the logits; the row has a ``mark``.

    Members
    -------
    i : In(stream.Signature(layout))
        Rows of logits.
    b : In(stream.Signature(bias_layout(config)))
        Rows of biases.
    o : Out(stream.Signature(layout))
        Rows of logits with their biases.
    broken : Out(1)
        Pulses when a row of biases was of another number of beats than its row of logits.
    """

    def __init__(self, config, layout):
        self.config = config
        rows = stream.Signature(layout)
        super().__init__({"i": In(rows), "b": In(stream.Signature(bias_layout(config))),
                          "o": Out(rows), "broken": Out(1)})

    @staticmethod
    def latency_of(config):
        """Cycles from logits to logits with biases; 0 for a configuration without."""
        return int(config.bias != "none")

    def elaborate(self, platform):
        m = Module()
        logit, bias, held = self.i.payload, self.b.payload, self.o.payload
        # The row of biases is over before its row, or goes on behind it.
        filling, dropping, failed = Signal(), Signal(), Signal()
        room, take, differs, mark = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            room.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(room & (filling | (self.b.valid & ~dropping))),
            take.eq(self.i.valid & self.i.ready),
            self.b.ready.eq(dropping | (self.i.valid & room & ~filling)),
            differs.eq(filling | ~bias.last),
            self.broken.eq(take & logit.last & differs & ~logit.row.mark),
            mark.eq(logit.row.mark | differs | failed),
        ]
        with m.If(take & logit.last):
            m.d.sync += [filling.eq(0), dropping.eq(~filling & ~bias.last),
                         failed.eq((failed | self.broken) & ~logit.row.set_end)]
        with m.Elif(take & bias.last):
            m.d.sync += filling.eq(1)
        with m.If(dropping & self.b.valid & bias.last):
            m.d.sync += dropping.eq(0)
        with m.If(room):
            m.d.sync += [self.o.valid.eq(take), held.eq(logit), held.row.mark.eq(mark)]
            for lane, element in enumerate(bias.data):
                with m.If(self._masks(element) | filling):
                    m.d.sync += held.mask[lane].eq(1)
                if self.config.bias == "add":
                    m.d.sync += held.data[lane].eq(
                        saturated(logit.data[lane] + element, self.config.logit_bits))
        return m

    def _masks(self, element):
        """Whether an element says that its key takes no part."""
        return element if self.config.bias == "mask" else element == -(1 << (len(element) - 1))


def biased(m, engine, logits, causes):
    """Rows of logits with the biases of an engine's stream ``b``, if it has one.

    Parameters
    ----------
    m : Module
        Module of the engine.
    engine : Component
        Engine with a ``config``.
    logits : stream
        Rows of logits.
    causes : Causes
        Gets the cause of a row of biases that does not fit.
    """
    if engine.config.bias == "none":
        return logits
    m.submodules.bias = passing = LogitBias(engine.config, logits.payload.shape())
    wiring.connect(m, logits, passing.i)
    wiring.connect(m, wiring.flipped(engine.b), passing.b)
    m.d.comb += causes.bias.eq(passing.broken)
    return passing.o
