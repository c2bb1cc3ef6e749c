"""Requantiser in front of a softmax: accumulators become logits by the row's own scale."""

from amaranth import Cat, Module, Mux, Signal, Value

from ..blocks.pipeline import delays
from ..blocks.runtime_requantise import RuntimeRequantiser
from ..stream.row_unit import RowDatapath

__all__ = ["RequantisedDatapath"]


class RequantisedDatapath(RowDatapath):
    """``logit = saturate(round(i * multiplier / 2**shift) + offset)``, then a datapath of logits.

    A row's first beat brings its parameters, which hold for all its beats; the next row may bring
    others. Latency six cycles more than that of the datapath behind; throughput one beat per cycle.

    Parameters
    ----------
    config : SoftmaxConfig
        Configuration with ``accumulator_bits``.
    datapath : RowDatapath
        Datapath of ``config.of_logits``.
    """

    #: Cycles from an accumulator to its logit.
    LATENCY = RuntimeRequantiser.latency

    def __init__(self, config, datapath):
        self.datapath = datapath
        super().__init__(config)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.datapath = datapath = self.datapath
        m.submodules.requantiser = requantiser = RuntimeRequantiser(
            config.accumulator_bits, config.bits, lanes=config.lanes, offset_bits=config.bits)
        for name in ("multiplier", "shift", "offset"):
            m.d.comb += getattr(requantiser, name).eq(self._held(m, name))
        for k in range(config.lanes):
            m.d.comb += [requantiser.i[k].eq(self.data[k]), datapath.data[k].eq(requantiser.o[k])]
        names = ["live", "kept", "valid", "first", "end"]
        ports = [(getattr(datapath, name), getattr(self, name), name) for name in names]
        if config.sink:
            sink = Cat(self.row.sink, self.row.sink_valid)
            ports.append((datapath.row, sink, "sink"))
        for port, value, name in ports:
            m.d.comb += Value.cast(port).eq(delays(m, value, self.LATENCY, name)[-1])
        m.d.comb += [self.o.eq(datapath.o), self.o_valid.eq(datapath.o_valid),
                     self.leaving.eq(datapath.leaving)]
        return m

    def _held(self, m, name):
        """A parameter of the row that a beat belongs to."""
        given = self.row[name]
        held = Signal.like(given, name=f"{name}_of_row", reset_less=True)
        with m.If(self.valid & self.first):
            m.d.sync += held.eq(given)
        return Mux(self.first, given, held)
