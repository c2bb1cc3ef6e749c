"""Receiver and transmitter of a serial line: bytes as 8N1."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["UartReceiver", "UartTransmitter"]

# Bits on the line: start, eight of data, stop.
BITS = 10


class UartReceiver(wiring.Component):
    """Bytes from a serial line, lowest bit first, one stop bit.

    The line is sampled in the middle of each bit, counted from the start bit's edge; two bit times
    may differ by 5 %. A start bit that is over before its middle is ignored.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, 4 at least.

    Members
    -------
    rx : In(1)
        The line, high when idle; from another clock domain.
    data : Out(8)
        Byte received.
    valid : Out(1)
        Pulses with it.
    bad : Out(1)
        Pulses instead of ``valid`` if the stop bit is low.
    """

    def __init__(self, divisor):
        if divisor < 4:
            raise ValueError(f"Divisor must be at least 4, not {divisor!r}")
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "data": Out(8), "valid": Out(1), "bad": Out(1)})

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(self.divisor))
        number = Signal(range(BITS))
        busy = Signal()
        m.d.sync += [self.valid.eq(0), self.bad.eq(0)]
        with m.If(~busy):
            with m.If(~line):
                m.d.sync += [busy.eq(1), timer.eq(self.divisor // 2 - 1), number.eq(0)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self.divisor - 1), number.eq(number + 1)]
            with m.If(number == 0):
                m.d.sync += busy.eq(~line)
            with m.Elif(number == BITS - 1):
                m.d.sync += [busy.eq(0), self.valid.eq(line), self.bad.eq(~line)]
            with m.Else():
                m.d.sync += self.data.eq(Cat(self.data[1:], line))
        return m


class UartTransmitter(wiring.Component):
    """Bytes onto a serial line, lowest bit first, one stop bit.

    Throughput one byte in ``10 * divisor`` cycles.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit.

    Members
    -------
    i : In(stream.Signature(8))
        Bytes to send.
    tx : Out(1)
        The line, high when idle.
    """

    def __init__(self, divisor):
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self.divisor))
        number = Signal(range(BITS + 1))
        # Bits that are still to follow the one on the line.
        bits = Signal(BITS - 1)
        m.d.comb += self.i.ready.eq(number == 0)
        with m.If(number == 0):
            with m.If(self.i.valid):
                m.d.sync += [self.tx.eq(0), bits.eq(Cat(self.i.payload, Const(1, 1))),
                             number.eq(BITS), timer.eq(self.divisor - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [self.tx.eq(bits[0]), bits.eq(Cat(bits[1:], Const(1, 1))),
                         number.eq(number - 1), timer.eq(self.divisor - 1)]
        return m
