"""Largest of the elements of a beat, by comparison."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = ["MaxTree", "largest"]


def largest(m, values, live, name):
    """Largest of up to three live unsigned values, and whether one is live. Combinational.

    All comparisons are made at once, and one LUT6 a bit selects: three values take fewer LUTs than
    two steps of two values would, and less time. What comes out when none is live is of no use.
    """
    some = Cat(live).any()
    if len(values) == 1:
        return values[0], some
    a, b = values[:2]
    b_over_a = live[1] & (~live[0] | (b > a))
    if len(values) == 2:
        return Mux(b_over_a, b, a), some
    c = values[2]
    c_over_a = live[2] & (~live[0] | (c > a))
    c_over_b = live[2] & (~live[1] | (c > b))
    select = Signal(2, name=f"{name}_select")
    m.d.comb += select.eq(Mux(Mux(b_over_a, c_over_b, c_over_a), 2, b_over_a))
    return Mux(select[1], c, Mux(select[0], b, a)), some


class MaxTree(wiring.Component):
    """Candidates for the largest live element of a beat: two at most, for the user's own last step.

    A tree of three-way nodes, one level a stage. Latency :attr:`latency` cycles (none for one or
    two lanes), throughput one beat per cycle.

    Parameters
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.

    Members
    -------
    data : In(width).array(lanes)
    live : In(lanes)
        Bit k clear: the element of lane k takes no part.
    o : Out(width).array(candidates)
    o_live : Out(candidates)
        Bit k clear: candidate k comes from no live element.
    """

    def __init__(self, width, lanes):
        self.width = width
        self.lanes = lanes
        count = lanes
        while count > 2:
            count = -(-count // 3)
        super().__init__({
            "data": In(width).array(lanes),
            "live": In(lanes),
            "o": Out(width).array(count),
            "o_live": Out(count),
        })

    @staticmethod
    def stages(lanes):
        """Latency for ``lanes`` elements a beat, in cycles."""
        count = 0
        while lanes > 2:
            lanes = -(-lanes // 3)
            count += 1
        return count

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.lanes)

    def elaborate(self, platform):
        m = Module()
        values = [self.data[k] for k in range(self.lanes)]
        live = [self.live[k] for k in range(self.lanes)]
        for level in range(self.latency):
            following, alive = [], []
            for start in range(0, len(values), 3):
                name = f"node_{level}_{start // 3}"
                node, node_live = Signal(self.width, name=name), Signal(name=f"{name}_live")
                best, some = largest(m, values[start:start + 3], live[start:start + 3], name)
                m.d.sync += [node.eq(best), node_live.eq(some)]
                following.append(node)
                alive.append(node_live)
            values, live = following, alive
        m.d.comb += [out.eq(value) for out, value in zip(self.o, values, strict=True)]
        m.d.comb += self.o_live.eq(Cat(live))
        return m
