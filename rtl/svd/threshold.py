"""Bin of a histogram in which a number of the largest values ends."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.memory import ram

__all__ = ["Threshold"]


class Threshold(wiring.Component):
    """Histogram of bytes, and a scan for the byte at which ``target`` of the largest are reached.

    Used twice, for a value of two bytes: for the high byte of all values, then for the low byte of
    the values in the bin that was found. The histogram is in LUT RAM, so that a bin that is counted
    up can be counted up again in the next cycle.

    Clearing takes 256 cycles, a scan 257, whatever it finds. Throughput one value per
    cycle. Must be cleared after reset.

    Parameters
    ----------
    largest : int
        Values at most.

    Members
    -------
    clear : In(1)
        Start to clear the histogram.
    find : In(1)
        Start to scan. Not while ``busy``, as the others.
    target : In(range(largest + 1))
        Number of values wanted, at least 1; with ``find``.
    value : In(8)
        Byte to count.
    add : In(1)
        Count ``value``.
    busy : Out(1)
        Being cleared or scanned.
    bin : Out(8)
        Largest byte with ``target`` values at it or above.
    left : Out(range(largest + 1))
        Number of values wanted of that byte: ``target`` less all above it.
    """

    def __init__(self, largest):
        self.largest = largest
        super().__init__({
            "clear": In(1), "find": In(1), "target": In(range(largest + 1)), "value": In(8),
            "add": In(1), "busy": Out(1), "bin": Out(8), "left": Out(range(largest + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.bins = bins = ram(range(self.largest + 1), 256, "distributed")
        write, read = bins.write_port(), bins.read_port(domain="comb")
        clearing = Signal()
        scanning = Signal()
        found = Signal()
        place = Signal(8)
        # A bin of the scan, a cycle late.
        count = Signal.like(read.data)
        counted = Signal()
        m.d.sync += [count.eq(read.data), counted.eq(scanning)]
        m.d.comb += [
            self.busy.eq(clearing | scanning | counted),
            read.addr.eq(Mux(scanning, place, self.value)),
            write.addr.eq(Mux(clearing, place, self.value)),
            write.data.eq(Mux(clearing, 0, read.data + 1)),
            write.en.eq(clearing | self.add),
        ]
        with m.If(clearing):
            m.d.sync += place.eq(place + 1)
            with m.If(place == 255):
                m.d.sync += clearing.eq(0)
        with m.If(self.clear):
            m.d.sync += [clearing.eq(1), place.eq(0)]
        with m.If(scanning):
            m.d.sync += place.eq(place - 1)
            with m.If(place == 0):
                m.d.sync += scanning.eq(0)
        with m.If(counted & ~found):
            with m.If((count >= self.left) | (self.bin == 0)):
                m.d.sync += found.eq(1)
            with m.Else():
                m.d.sync += [self.bin.eq(self.bin - 1), self.left.eq(self.left - count)]
        with m.If(self.find):
            m.d.sync += [scanning.eq(1), place.eq(255), self.bin.eq(255),
                         self.left.eq(self.target), found.eq(0)]
        return m
