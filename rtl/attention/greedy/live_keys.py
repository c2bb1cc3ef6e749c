"""Keys of a set that take part: how many they are, and which is the first."""

from amaranth import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LiveKeys"]


class LiveKeys(wiring.Component):
    """Counts the keys of two sets that are not masked, as they are written.

    Parameters
    ----------
    max_keys : int
        Keys of a set at most.

    Members
    -------
    write : In(1)
        A key is written.
    bank : In(1)
        Which of the two sets it is of.
    place : In(range(max_keys))
        Its number in the set; number 0 starts the set anew.
    mask : In(1)
        It takes no part.
    count : Out(range(max_keys + 1)).array(2)
        Number of keys of each set that take part, a cycle after the last one was written.
    first : Out(range(max_keys)).array(2)
        First of them; 0 if there is none.
    """

    def __init__(self, max_keys):
        super().__init__({
            "write": In(1), "bank": In(1), "place": In(range(max_keys)), "mask": In(1),
            "count": Out(range(max_keys + 1)).array(2), "first": Out(range(max_keys)).array(2)})

    def elaborate(self, platform):
        m = Module()
        start = self.place == 0
        for number, (count, first) in enumerate(zip(self.count, self.first, strict=True)):
            with m.If(self.write & (self.bank == number)):
                m.d.sync += count.eq(Mux(start, 0, count) + ~self.mask)
                # Key 0 stands for none.
                with m.If(start | ((count == 0) & ~self.mask)):
                    m.d.sync += first.eq(self.place)
        return m
