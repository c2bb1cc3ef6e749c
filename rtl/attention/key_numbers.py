"""Numbers of the keys of a set, from their places in the words of a store."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .layouts import PlaceLayout

__all__ = ["KeyNumbers"]


class KeyNumbers(wiring.Component):
    """Number of the key that is written, and of the last key of each of the two sets.

    Latency 0 cycles. Where ``lanes`` is a power of two this is wiring, otherwise counters.

    Parameters
    ----------
    max_keys : int
        Keys of a set at most.
    lanes : int
        Keys of a word.

    Members
    -------
    write : In(1)
        A key is written.
    bank : In(1)
        Which of the two sets it is of.
    finished : In(1)
        The beat at hand ends the set.
    place : In(PlaceLayout(max_keys, lanes))
        Its place in the set.
    ends : In(ArrayLayout(PlaceLayout(max_keys, lanes), 2))
        Places of the last key of each set.
    number : Out(range(max_keys))
        Its number in the set.
    last : Out(range(max_keys)).array(2)
        Number of the last key of each set.
    """

    def __init__(self, max_keys, lanes):
        self.lanes = lanes
        place = PlaceLayout(max_keys, lanes)
        super().__init__({
            "write": In(1), "bank": In(1), "finished": In(1), "place": In(place),
            "ends": In(data.ArrayLayout(place, 2)), "number": Out(range(max_keys)),
            "last": Out(range(max_keys)).array(2)})

    def elaborate(self, platform):
        m = Module()
        if self.lanes & (self.lanes - 1) == 0:
            m.d.comb += [number.eq(Cat(place.lane, place.word)) for number, place in
                         ((self.number, self.place), (self.last[0], self.ends[0]),
                          (self.last[1], self.ends[1]))]
            return m
        count = Signal.like(self.number)
        m.d.comb += self.number.eq(count)
        with m.If(self.finished):
            m.d.sync += count.eq(0)
        with m.Elif(self.write):
            m.d.sync += count.eq(count + 1)
        for bank, last in enumerate(self.last):
            with m.If(self.write & (self.bank == bank)):
                m.d.sync += last.eq(count)
        return m
