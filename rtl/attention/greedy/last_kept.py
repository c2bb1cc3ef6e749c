"""Mark on the last one of those that are kept of a row, which only the row's end can tell."""

from amaranth import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LastKept"]


class LastKept(wiring.Component):
    """Filter of a row's beats: those that are kept, the last of them marked. Never stalls.

    A beat that is kept leaves when the next one of its row comes, or a cycle after the end of its
    row. Of every row at least one beat must be kept. The end of a row may be a beat that is not
    kept.

    Parameters
    ----------
    shape : ShapeLike
        Shape of what a beat carries.

    Members
    -------
    i : In(shape)
    valid : In(1)
        There is a beat.
    keep : In(1)
        It is kept.
    last : In(1)
        It is its row's last one.
    o : Out
        ``payload``, and whether it is the row's ``last`` kept one.
    push : Out(1)
        ``o`` holds a beat.
    """

    def __init__(self, shape):
        self.shape = shape
        super().__init__({
            "i": In(shape), "valid": In(1), "keep": In(1), "last": In(1),
            "o": Out(self.layout(shape)), "push": Out(1)})

    @staticmethod
    def layout(shape):
        """Layout of what leaves."""
        return data.StructLayout({"payload": shape, "last": unsigned(1)})

    def elaborate(self, platform):
        m = Module()
        waiting, some, ended = Signal(), Signal(), Signal()
        m.d.comb += [some.eq(self.valid & self.keep), ended.eq(self.valid & self.last),
                     self.push.eq(waiting & (self.o.last | some))]
        with m.If(some):
            m.d.sync += [waiting.eq(1), self.o.payload.eq(self.i), self.o.last.eq(ended)]
        with m.Elif(self.push):
            m.d.sync += waiting.eq(0)
        with m.Elif(ended):
            m.d.sync += self.o.last.eq(1)
        return m
