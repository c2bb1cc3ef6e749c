"""Tree of comparisons: the design that a sorted queue is compared with."""

from amaranth import Module, Mux, Signal

from rtl.attention.greedy.sorted_queue import SortedQueue

__all__ = ["CompareTree"]


class CompareTree(SortedQueue):
    """As :class:`~rtl.attention.greedy.sorted_queue.SortedQueue`, by a tree of comparisons.

    Entries keep their registers, and a tree of ``log2(places)`` comparisons finds the largest.
    Entries of the next turn are loaded into one register after the other.
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
