"""Shift register that keeps its entries sorted: the largest of many, every cycle anew."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SortedQueue"]


class SortedQueue(wiring.Component):
    """Entries in descending order, of which the largest is replaced; and those of the next turn.

    An entry is a key, and below it a number that orders equal keys. Every register compares itself
    with what arrives, so that a cycle has one comparison however many entries there are, where a
    tree of ``places`` leaves has ``log2(places)``.

    Entries of the next turn are inserted one by one while those at hand are in use. Throughput one
    step and one load per cycle. Both turns are empty (all 0) after reset.

    Parameters
    ----------
    places : int
        Entries.
    key_bits, low_bits : int
        Width of the key, unsigned, and of the number below it. An entry has their sum, ``width``.

    Members
    -------
    load : In(1)
        Insert ``fresh`` into the next turn, behind all of the same key.
    fresh : In(width)
        Entry to insert.
    start : In(1)
        The next turn begins with the next cycle; the one after it is empty.
    waiting : In(width)
        Entry that competes with the head.
    ahead : Out(1)
        The head is larger than ``waiting``. Combinational.
    head : Out(width)
        The largest entry.
    step : In(1)
        The head leaves, and ``waiting`` is inserted in order. Only while ``ahead``.
    """

    def __init__(self, places, key_bits, low_bits):
        self.places, self.low_bits = places, low_bits
        width = key_bits + low_bits
        super().__init__({
            "load": In(1), "fresh": In(width), "start": In(1), "waiting": In(width),
            "ahead": Out(1), "head": Out(width), "step": In(1)})

    def elaborate(self, platform):
        m = Module()
        loaded = [Signal.like(self.fresh, name=f"loaded_{k}") for k in range(self.places)]
        queue = [Signal.like(self.head, name=f"queue_{k}") for k in range(self.places)]
        above, before = Signal(self.places), Signal(self.places)
        m.d.comb += [before.eq(Cat(entry > self.waiting for entry in queue)),
                     self.ahead.eq(before[0]), self.head.eq(queue[0])]
        for k, entry in enumerate(loaded):
            m.d.comb += above[k].eq(entry[self.low_bits:] >= self.fresh[self.low_bits:])
            moved = Mux(above[k - 1], self.fresh, loaded[k - 1]) if k else self.fresh
            with m.If(self.start | (self.load & ~above[k])):
                m.d.sync += entry.eq(Mux(self.start, 0, moved))
        for k, entry in enumerate(queue):
            moved = self.waiting if k + 1 == self.places else \
                Mux(before[k + 1], queue[k + 1], self.waiting)
            with m.If(self.start | (self.step & before[k])):
                m.d.sync += entry.eq(Mux(self.start, loaded[k], moved))
        return m
