"""Plan of a transfer between memory and a stream: the bursts of its rows."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BURST", "BYTES", "Burst", "BurstPlan", "Descriptor"]

#: Bytes of a beat.
BYTES = 8

#: Beats of the longest burst: as many as AXI3 allows.
BURST = 16

# Bits of a byte's place in a beat, and of a beat's place in a block that bursts end at.
_BYTE = 3
_BEAT = 4


class Descriptor(data.StructLayout):
    """Rows in memory.

    Members
    -------
    address : unsigned(32)
        Byte address of the first row, a multiple of 8.
    bytes : unsigned(24)
        Bytes of a row, at least 1.
    rows : unsigned(16)
        Number of rows, at least 1.
    stride : unsigned(32)
        Bytes from the start of a row to that of the next one, a multiple of 8, modulo 2**32.
    """

    def __init__(self):
        super().__init__({"address": 32, "bytes": 24, "rows": 16, "stride": 32})


class Burst(data.StructLayout):
    """A burst of up to 16 beats of 8 bytes.

    Members
    -------
    address : unsigned(32)
        Byte address, a multiple of 8.
    length : unsigned(4)
        Beats, less one, as AXI counts them.
    row_end : unsigned(1)
        Its last beat is the last one of a row.
    end : unsigned(1)
        Its last beat is the last one of the descriptor.
    tail : unsigned(3)
        Bytes in the row's last beat, less one.
    """

    def __init__(self):
        super().__init__({"address": 32, "length": _BEAT, "row_end": 1, "end": 1, "tail": _BYTE})


class BurstPlan(wiring.Component):
    """Cuts the rows of descriptors into bursts.

    A burst ends at a multiple of 128 bytes or at the end of a row. So no burst crosses a multiple
    of 4 KiB, and all but the first and the last one of a row are whole. A descriptor whose address
    or stride is not a multiple of 8, or that has no bytes or no rows, is refused: it has no bursts.

    Latency 3 cycles from a descriptor to its first burst; throughput one burst in 2 cycles, with a
    pause of a cycle between two descriptors.

    Members
    -------
    i : In(stream.Signature(Descriptor()))
        Descriptors.
    o : Out(stream.Signature(Burst()))
        Bursts, in the order of their addresses, row by row.
    refused : Out(1)
        Pulses when a descriptor is refused.
    busy : Out(1)
        A descriptor has been taken, and not all of its bursts.
    abort : In(1)
        Forget the descriptor and the burst that is offered; take none.
    """

    i: In(stream.Signature(Descriptor()))
    o: Out(stream.Signature(Burst()))
    refused: Out(1)
    busy: Out(1)
    abort: In(1)

    def elaborate(self, platform):
        m = Module()
        given = self.i.payload
        working = Signal()
        row, address, stride = Signal(32), Signal(32), Signal(32)
        # Beats of a row, and those of this row that are left; rows left.
        beats, left, rows = Signal(24 - _BYTE + 1), Signal(24 - _BYTE + 1), Signal(16)
        tail = Signal(_BYTE)
        wrong = (given.address[:_BYTE].any() | given.stride[:_BYTE].any() |
                 (given.bytes == 0) | (given.rows == 0))
        needed = Signal.like(beats)
        m.d.comb += [
            needed.eq((given.bytes + (BYTES - 1)) >> _BYTE),
            self.i.ready.eq(~working & ~self.abort),
            self.busy.eq(working | self.o.valid),
        ]
        m.d.sync += self.refused.eq(self.i.valid & self.i.ready & wrong)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                working.eq(~wrong), row.eq(given.address), address.eq(given.address),
                stride.eq(given.stride), beats.eq(needed), left.eq(needed), rows.eq(given.rows),
                tail.eq((given.bytes - 1)[:_BYTE]),
            ]

        # First the size of a burst, in the next cycle the burst, and what is left without it.
        measured = Signal()
        room, count = Signal(_BEAT + 1), Signal(_BEAT + 1)
        row_end, final, next_row = Signal(), Signal(), Signal(32)
        fits = Signal()
        m.d.comb += [
            # Beats up to the next multiple of 128 bytes.
            room.eq(BURST - address[_BYTE:_BYTE + _BEAT]),
            fits.eq(left <= room),
        ]
        with m.If(working & ~measured):
            m.d.sync += [
                measured.eq(1), row_end.eq(fits), final.eq(rows == 1), next_row.eq(row + stride),
                count.eq(Mux(fits, left[:_BEAT + 1], room)),
            ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(measured & (self.o.ready | ~self.o.valid)):
            end = row_end & final
            m.d.sync += [
                measured.eq(0), self.o.valid.eq(1), self.o.p.address.eq(address),
                self.o.p.length.eq((count - 1)[:_BEAT]), self.o.p.row_end.eq(row_end),
                self.o.p.end.eq(end), self.o.p.tail.eq(tail),
            ]
            with m.If(row_end):
                m.d.sync += [row.eq(next_row), address.eq(next_row), left.eq(beats),
                             rows.eq(rows - 1), working.eq(~final)]
            with m.Else():
                # The next burst starts at a multiple of 128 bytes.
                block = address[_BYTE + _BEAT:]
                m.d.sync += [address.eq(Cat(Const(0, _BYTE + _BEAT), block + 1)),
                             left.eq(left - count)]
        with m.If(self.abort):
            m.d.sync += [working.eq(0), measured.eq(0), self.o.valid.eq(0)]
        return m
