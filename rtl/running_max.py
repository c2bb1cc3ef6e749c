"""Largest element of a row so far."""

from amaranth import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .max_radix import MaxRadix
from .max_tree import MaxTree, largest


__all__ = ["RunningMax"]


class RunningMax(wiring.Component):
    """Largest live element of a row so far.

    ``candidate`` and ``update`` are there for registers that hold a function of the maximum:
    loaded with that of the candidate in every cycle with ``update``, they are as late as the
    maximum itself.

    Latency ``candidates + 1`` cycles, throughput one beat per cycle.

    Parameters
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.
    radix : bool
        Search a beat digit by digit (:class:`rtl.max_radix.MaxRadix`), and not by comparisons
        (:class:`rtl.max_tree.MaxTree`): for many lanes and narrow elements that is smaller.
    relaxed : bool
        As of :class:`rtl.max_radix.MaxRadix`.

    Members
    -------
    data, live : In
        Elements of a beat, and which of them take part.
    valid, first : In(1)
        ``candidates`` cycles after its elements: there was a beat; it was the first of its row.
    candidate : Out(width)
        What the maximum becomes with ``update``.
    update : Out(1)
    o : Out(width)
        Maximum; 0, the least element, if no element takes part.
    """

    def __init__(self, width, lanes, *, radix=False, relaxed=False):
        self.width = width
        self.lanes = lanes
        self.finder = (MaxRadix(width, lanes, relaxed=relaxed) if radix else
                       MaxTree(width, lanes))
        super().__init__({
            "data": In(width).array(lanes), "live": In(lanes), "valid": In(1), "first": In(1),
            "candidate": Out(width), "update": Out(1), "o": Out(width),
        })

    @staticmethod
    def stages(width, lanes, *, radix=False, relaxed=False):
        """Cycles from the elements of a beat to the candidate, for these parameters."""
        return MaxRadix.stages(width, relaxed) if radix else MaxTree.stages(lanes)

    @property
    def candidates(self):
        """Cycles from the elements of a beat to the candidate."""
        return self.finder.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.finder = finder = self.finder
        m.d.comb += [word.eq(x) for word, x in zip(finder.data, self.data, strict=True)]
        m.d.comb += finder.live.eq(self.live)
        if isinstance(finder, MaxRadix):
            # The least element is neutral, so that a beat without live elements needs no flag.
            m.d.comb += [self.candidate.eq(finder.o),
                         self.update.eq(self.valid & (self.first | (finder.o > self.o)))]
        else:
            best, some = largest(m, [*finder.o, self.o], [*finder.o_live, ~self.first], "running")
            m.d.comb += [self.candidate.eq(Mux(some, best, 0)), self.update.eq(self.valid)]
        with m.If(self.update):
            m.d.sync += self.o.eq(self.candidate)
        return m
