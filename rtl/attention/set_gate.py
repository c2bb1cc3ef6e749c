"""Which set the next query meets, and whether all of it is there."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SetGate", "SetsBetween"]


class SetsBetween(wiring.Component):
    """Number of sets, up to 2, that have entered one stage and not left another.

    Members
    -------
    enters : In(1)
        A set enters the first stage.
    leaves : In(1)
        A set leaves the second one.
    count : Out(2)
        Sets between them, from a register.
    """

    enters: In(1)
    leaves: In(1)
    count: Out(2)

    def elaborate(self, platform):
        m = Module()
        with m.If(self.enters & ~self.leaves):
            m.d.sync += self.count.eq(self.count + 1)
        with m.Elif(self.leaves & ~self.enters):
            m.d.sync += self.count.eq(self.count - 1)
        return m


class SetGate(wiring.Component):
    """Opens when the set that the next query meets is complete.

    The selection of keys runs ahead of the dot products, and these of the weighted sums; each is
    over with a set at a time of its own.

    Parameters
    ----------
    ahead : bool
        Whether a selection can be over with a set before its keys are released.
    values : bool
        Whether the values have to be there.

    Members
    -------
    keys, values : In(2)
        Complete sets of keys and of values in their stores.
    over : In(1)
        The selection is over with a set.
    keys_release, values_release : In(1)
        A set of keys or of values leaves its store.
    ready : Out(1)
        The next set is complete.
    bank : Out(1)
        Which of the two sets of the keys' store it is.
    """

    def __init__(self, *, ahead=True, values=True):
        self.ahead, self.wait_for_values = ahead, values
        super().__init__({"keys": In(2), "values": In(2), "over": In(1), "keys_release": In(1),
                          "values_release": In(1), "ready": Out(1), "bank": Out(1)})

    def elaborate(self, platform):
        m = Module()
        conditions = [self.keys != 0]
        if self.ahead:
            m.submodules.selected = selected = SetsBetween()
            m.d.comb += [selected.enters.eq(self.over), selected.leaves.eq(self.keys_release)]
            conditions = [self.keys > selected.count]
        if self.wait_for_values:
            m.submodules.weighted = weighted = SetsBetween()
            m.d.comb += [weighted.enters.eq(self.over), weighted.leaves.eq(self.values_release)]
            conditions.append(self.values > weighted.count)
        ready = conditions[0]
        for condition in conditions[1:]:
            ready = ready & condition
        m.d.comb += self.ready.eq(ready)
        with m.If(self.over):
            m.d.sync += self.bank.eq(~self.bank)
        return m
