"""Frames of the serial link in hardware: from bytes to a request, and from an answer to bytes."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.wiring import In, Out

from .protocol import ESCAPE, FLAG, INVERT, LIMIT

__all__ = ["ANSWER", "FrameReceiver", "FrameSender"]

# Bytes of the checksum.
CHECK = 2

#: A byte of an answer, or its end, which has none.
ANSWER = data.StructLayout({"byte": 8, "end": 1})


class FrameReceiver(wiring.Component):
    """Takes the content of one frame at a time into a memory.

    Bytes that come while ``hold`` is high are lost, and the frame that they belong to with them.

    Members
    -------
    data : In(8)
        Byte received.
    valid : In(1)
        Pulses with it.
    bad : In(1)
        Pulses for a byte that was not understood.
    hold : In(1)
        The frame in the memory is still in use.
    done : Out(1)
        Pulses after the end of a frame.
    good : Out(1)
        With ``done``: its checksum is right, and nothing is missing.
    length : Out(8)
        Bytes of its content, valid from a good ``done`` until ``hold`` is low.
    address : In(8)
        Number of the byte that is read.
    byte : Out(8)
        Its value, a cycle later.
    """

    def __init__(self):
        super().__init__({"data": In(8), "valid": In(1), "bad": In(1), "hold": In(1),
                          "done": Out(1), "good": Out(1), "length": Out(8),
                          "address": In(8), "byte": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.content = content = memory.Memory(shape=8, depth=LIMIT + CHECK, init=[])
        write, read = content.write_port(), content.read_port()
        m.submodules.crc = crc = CRC16_IBM_3740().create()
        count = Signal(range(LIMIT + CHECK + 1))
        escaped, lost = Signal(), Signal()
        full = count == LIMIT + CHECK
        flag, escape = self.data == FLAG, self.data == ESCAPE
        accept = self.valid & ~flag & ~escape & ~self.hold & ~full
        m.d.comb += [
            write.addr.eq(count), write.en.eq(accept),
            write.data.eq(self.data ^ Mux(escaped, INVERT, 0)),
            crc.data.eq(write.data), crc.valid.eq(accept), crc.start.eq(self.valid & flag),
            read.addr.eq(self.address), self.byte.eq(read.data),
        ]
        m.d.sync += self.done.eq(0)
        with m.If(self.valid & flag):
            m.d.sync += [count.eq(0), escaped.eq(0), lost.eq(0)]
            with m.If(~self.hold & ((count != 0) | lost)):
                m.d.sync += [
                    self.done.eq(1), self.length.eq(count - CHECK),
                    self.good.eq(~lost & ~escaped & crc.match_detected & (count > CHECK)),
                ]
        with m.Elif(self.valid & escape):
            m.d.sync += [escaped.eq(1), lost.eq(lost | self.hold | escaped)]
        with m.Elif(self.valid):
            m.d.sync += [escaped.eq(0), count.eq(count + accept), lost.eq(lost | ~accept)]
        with m.If(self.bad):
            m.d.sync += lost.eq(1)
        return m


class FrameSender(wiring.Component):
    """Puts an answer into a frame.

    Members
    -------
    i : In(stream.Signature(ANSWER))
        Bytes of the content, and its end.
    o : Out(stream.Signature(8))
        Bytes for the line.
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(ANSWER)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_3740().create()
        value, escaped, sent = Signal(8), Signal(), Signal()
        special = (value == FLAG) | (value == ESCAPE)
        last = Signal()

        def flag(following):
            """Send FLAG, then go on."""
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
            with m.If(self.o.ready):
                m.next = following

        def body(byte):
            """Send a byte, in two if need be; ``sent`` pulses with its last one."""
            m.d.comb += [value.eq(byte), self.o.valid.eq(1), sent.eq(
                self.o.ready & (escaped | ~special))]
            with m.If(special & ~escaped):
                m.d.comb += self.o.payload.eq(ESCAPE)
            with m.Else():
                m.d.comb += self.o.payload.eq(value ^ Mux(escaped, INVERT, 0))
            with m.If(self.o.ready):
                m.d.sync += escaped.eq(special & ~escaped)

        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += crc.start.eq(1)
                with m.If(self.i.valid):
                    flag("CONTENT")
            with m.State("CONTENT"):
                with m.If(self.i.valid & self.i.p.end):
                    m.d.comb += self.i.ready.eq(1)
                    m.next = "CHECK"
                with m.Elif(self.i.valid):
                    body(self.i.p.byte)
                    m.d.comb += [self.i.ready.eq(sent), crc.data.eq(value), crc.valid.eq(sent)]
            with m.State("CHECK"):
                # The high byte first.
                body(Mux(last, crc.crc[:8], crc.crc[8:]))
                with m.If(sent):
                    m.d.sync += last.eq(~last)
                    with m.If(last):
                        m.next = "END"
            with m.State("END"):
                flag("BEGIN")
        return m
