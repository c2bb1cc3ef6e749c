"""Register slice: cuts all combinational paths of a stream at full throughput."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RegisterSlice"]


class RegisterSlice(wiring.Component):
    """Skid buffer: a stream stage whose ``valid``, ``payload`` and ``ready`` are all registers.

    Latency one cycle, throughput one transfer per cycle, room for two payloads. A payload accepted
    in the cycle in which the consumer stalls waits in the skid register, and ``i.ready`` falls one
    cycle later. Reset empties the slice; the payload registers have no reset.

    Parameters
    ----------
    shape : ShapeLike
        Shape of the payload.

    Members
    -------
    i : In(stream.Signature(shape))
        Input; ``ready`` is a register, high after reset.
    o : Out(stream.Signature(shape))
        Output; ``valid`` and ``payload`` are registers.
    """

    def __init__(self, shape):
        self._shape = shape
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        first = Signal(self._shape, reset_less=True)
        second = Signal(self._shape, reset_less=True)
        valid = Signal()
        # Low while both registers are occupied.
        ready = Signal(init=1)

        m.d.comb += [
            self.i.ready.eq(ready),
            self.o.valid.eq(valid),
            self.o.payload.eq(first),
        ]
        with m.If(ready):
            m.d.sync += second.eq(self.i.payload)
        with m.If(self.o.ready | ~valid):
            m.d.sync += [
                first.eq(self.i.payload),
                valid.eq(self.i.valid | ~ready),
                ready.eq(1),
            ]
            with m.If(~ready):
                m.d.sync += first.eq(second)
        with m.Elif(self.i.valid):
            m.d.sync += ready.eq(0)
        return m
