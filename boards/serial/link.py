"""Device's end of the serial link: a master of a register bus, and ends of streams."""

from amaranth import Module, ResetInserter
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from .executor import Executor
from .frames import FrameReceiver, FrameSender
from .uart import UartReceiver, UartTransmitter

__all__ = ["INPUT_DEPTH", "OUTPUT_DEPTH", "SerialLink"]

#: Beats of the FIFO before each input: a beat is offered until it is taken, also after STALLED.
INPUT_DEPTH = 2
#: Beats of the FIFO behind each output.
OUTPUT_DEPTH = 64


class SerialLink(wiring.Component):
    """Does what the frames of :mod:`boards.serial.protocol` ask for.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit on the line.
    address_bits : int
        Bits of a register's byte address.
    inputs : dict of str to int
        Bits of a beat of each input of the unit, by its name.
    outputs : dict of str to int
        Bits of a beat of each output.

    Members
    -------
    rx : In(1)
        Line from the host, high when idle; from another clock domain.
    tx : Out(1)
        Line to the host, high when idle.
    reset : Out(1)
        Reset of the unit, which RESET asks for.
    axi_<signal> : In(width) or Out(width)
        Master of the register bus, of :class:`~boards.serial.executor.Executor`.
    i_<stream> : Out(stream.Signature(bits))
        Beats for each input of the unit.
    o_<stream> : In(stream.Signature(bits))
        Beats of each output of the unit.
    """

    def __init__(self, divisor, address_bits, inputs, outputs):
        self.divisor = divisor
        self._executor = Executor(address_bits, inputs, outputs)
        members = self._executor.signature.members
        #: Names of the signals of the register bus, and of the streams.
        self.bus = [name for name in members if name.startswith("axi_")]
        self.streams = [name for name in members if name.startswith(("i_", "o_"))]
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "reset": Out(1),
            **{name: members[name] for name in [*self.bus, *self.streams]}})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(self.divisor)
        m.submodules.request = request = FrameReceiver()
        m.submodules.answer = answer = FrameSender()
        m.submodules.executor = executor = self._executor
        wiring.connect(m, executor.answer, answer.i)
        wiring.connect(m, answer.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx), self.reset.eq(executor.reset),
            request.data.eq(receiver.data), request.valid.eq(receiver.valid),
            request.bad.eq(receiver.bad), request.hold.eq(executor.hold),
            request.address.eq(executor.address), executor.byte.eq(request.byte),
            executor.done.eq(request.done), executor.good.eq(request.good),
            executor.length.eq(request.length),
        ]
        for name in self.bus:
            inner, outer = getattr(executor, name), getattr(self, name)
            flow = self.signature.members[name].flow
            m.d.comb += inner.eq(outer) if flow is In else outer.eq(inner)
        for name in self.streams:
            inner, outer = getattr(executor, name), getattr(self, name)
            out = self.signature.members[name].flow is Out
            source, sink = (inner, outer) if out else (outer, inner)
            queue = fifo.SyncFIFOBuffered(width=len(source.payload),
                                          depth=INPUT_DEPTH if out else OUTPUT_DEPTH)
            m.submodules[f"fifo_{name}"] = ResetInserter(executor.reset)(queue)
            m.d.comb += [
                queue.w_data.eq(source.payload), queue.w_en.eq(source.valid),
                source.ready.eq(queue.w_rdy), sink.payload.eq(queue.r_data),
                sink.valid.eq(queue.r_rdy), queue.r_en.eq(sink.ready),
            ]
        return m
