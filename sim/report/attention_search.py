"""What a greedy search's sorted queue costs beside a tree of comparisons, as a Markdown table."""

from amaranth import Module, Mux, Signal

from rtl.attention.greedy.sorted_queue import SortedQueue
from rtl.emit import synthesis, verilog

from .tools import table

__all__ = ["TABLES", "CompareTree"]


class CompareTree(SortedQueue):
    """Does what a sorted queue does, by a tree of comparisons.

    Entries stay where they are. Those of the next turn are loaded one behind the other.
    """

    def elaborate(self, platform):
        m = Module()
        loaded = [Signal.like(self.fresh, name=f"loaded_{k}") for k in range(self.places)]
        entries = [Signal.like(self.head, name=f"entry_{k}") for k in range(self.places)]
        following = Signal(range(self.places))
        level = [(entry, 1 << k) for k, entry in enumerate(entries)]
        while len(level) > 1:
            pairs = [level[k:k + 2] for k in range(0, len(level), 2)]
            level = []
            for pair in pairs:
                if len(pair) == 1:
                    level += pair
                    continue
                (a, place_a), (b, place_b) = pair
                best, place = Signal.like(self.head, name="best"), Signal(self.places, name="place")
                first = Signal(name="first")
                m.d.comb += [first.eq(a >= b), best.eq(Mux(first, a, b)),
                             place.eq(Mux(first, place_a, place_b))]
                level.append((best, place))
        (best, place), = level
        m.d.comb += [self.head.eq(best), self.ahead.eq(best > self.waiting)]
        with m.If(self.start):
            m.d.sync += following.eq(0)
        with m.Elif(self.load):
            m.d.sync += following.eq(following + 1)
        for k, (entry, fresh) in enumerate(zip(entries, loaded, strict=True)):
            with m.If(self.start):
                m.d.sync += [entry.eq(fresh), fresh.eq(0)]
            with m.Else():
                with m.If(self.load & (following == k)):
                    m.d.sync += fresh.eq(self.fresh)
                with m.If(self.step & ((place >> k) & 1)):
                    m.d.sync += entry.eq(self.waiting)
        return m


def search():
    """Area and delay of both, for 64 columns of products of 15 bits."""
    rows = []
    for name, kind in (("sorted queue", SortedQueue), ("tree of comparisons", CompareTree)):
        figures = synthesis.measure(verilog.of_components({"top": kind(64, 15, 6)}), "top")
        rows.append((name, figures.lut, figures.ff, f"{figures.delay_ps / 1000:.2f}"))
    return table(("largest of 64, replaced in every cycle", "LUT", "FF", "logic delay, ns"), rows)


TABLES = {"attention-search": search}
