"""Credits: what bounds the entries in flight before a pipeline that never stalls."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Credit"]


class Credit(wiring.Component):
    """Counter of the free places behind a pipeline.

    An entry that issues takes a credit, one that retires returns it, so that what is in flight
    always finds a place. All credits are there after reset. A credit that is returned can be taken
    in the next cycle. More credits must not be taken than are left, nor more returned than taken.

    Parameters
    ----------
    depth : int
        Number of credits.
    returns : int
        Credits that can be returned in one cycle.

    Members
    -------
    issue : In(1)
        A credit is taken.
    done : In(range(returns + 1))
        Number of credits that are returned.
    left : Out(range(depth + 1))
        Credits left, from a register.
    available : Out(1)
        At least one is left.
    """

    def __init__(self, depth, *, returns=1):
        self.depth, self.returns = depth, returns
        super().__init__({"issue": In(1), "done": In(range(returns + 1)),
                          "left": Out(range(depth + 1), init=depth), "available": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.available.eq(self.left != 0)
        if self.returns > 1:
            m.d.sync += self.left.eq(self.left + self.done - self.issue)
            return m
        # An up/down counter takes half the LUTs of the two adders above.
        with m.If(self.issue & ~self.done):
            m.d.sync += self.left.eq(self.left - 1)
        with m.Elif(self.done & ~self.issue):
            m.d.sync += self.left.eq(self.left + 1)
        return m
