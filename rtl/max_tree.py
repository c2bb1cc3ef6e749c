"""Running maximum of a row, several lanes at a time."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = ["RunningMax"]


class RunningMax(wiring.Component):
    """Maximum of a row so far.

    A tree of three-way nodes, one level a stage: three comparisons at once and one LUT6 a bit take
    less than two two-way nodes, and fewer stages. The last level takes the old maximum in.

    Latency :attr:`latency` cycles, throughput one beat per cycle. The least value, 0, is neutral:
    it is the maximum of a row without live elements.

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
    valid : In(1)
        The inputs hold a beat.
    first : In(1)
        The beat is the first of its row.
    maximum : Out(width)
        Maximum of the row up to the beat of ``latency`` cycles ago.
    previous : Out(width)
        Maximum of the row before that beat; the same as ``maximum`` for a first beat.
    """

    def __init__(self, width, lanes):
        self.width = width
        self.lanes = lanes
        super().__init__({
            "data": In(width).array(lanes),
            "live": In(lanes),
            "valid": In(1),
            "first": In(1),
            "maximum": Out(width),
            "previous": Out(width),
        })

    @staticmethod
    def stages(lanes):
        """Latency of the maximum of ``lanes`` elements a beat, in cycles."""
        count = 1
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
        valid, first = self.valid, self.first
        level = 0
        while len(values) > 2:
            values, live = self._reduce(m, values, live, level)
            valid = self._delay(m, valid, f"valid_{level}")
            first = self._delay(m, first, f"first_{level}")
            level += 1

        best, some = self._choose(m, [*values, self.maximum], [*live, ~first], "row")
        with m.If(valid):
            m.d.sync += self.maximum.eq(Mux(some, best, 0))
            m.d.sync += self.previous.eq(self.maximum)
            with m.If(first):
                m.d.sync += self.previous.eq(Mux(some, best, 0))
        return m

    @staticmethod
    def _delay(m, value, name):
        delayed = Signal.like(value, name=name)
        m.d.sync += delayed.eq(value)
        return delayed

    def _reduce(self, m, values, live, level):
        """One registered level: the maximum of every three values."""
        result = []
        for start in range(0, len(values), 3):
            name = f"max_{level}_{start // 3}"
            node = Signal(self.width, name=name)
            best, some = self._choose(m, values[start:start + 3], live[start:start + 3], name)
            with m.If(some):
                m.d.sync += node.eq(best)
            with m.Else():
                m.d.sync += node.eq(0)
            result.append(node)
        return result, [Const(1, 1)] * len(result)

    @staticmethod
    def _choose(m, values, live, name):
        """Largest of up to three live values (combinational), and whether one is live."""
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
