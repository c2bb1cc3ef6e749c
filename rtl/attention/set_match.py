"""Comparison of the numbers of keys and values of each set."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .vector_store import VectorStore

__all__ = ["SetMatch"]


class SetMatch(wiring.Component):
    """Tells which sets have other numbers of keys and values.

    Parameters
    ----------
    store : VectorStore
        Store of the keys; that of the values has places of the same layout.

    Members
    -------
    keys_finished, values_finished : In(1)
        A set's last key or value comes in this cycle.
    keys_place, values_place : In(place_layout)
        Place of the key or value at hand.
    keys_ends, values_ends : In(ArrayLayout(place_layout, 2))
        Places of the last key or value of each of the two sets.
    keys_bank, values_bank : In(1)
        Which of the two sets is written.
    mismatch : Out(1)
        The numbers differ. Pulses with the later end of the two.
    failed : Out(2)
        Those of each of the two sets do, from the later of its ends on.
    """

    def __init__(self, store: VectorStore):
        place, ends = store.place_layout, data.ArrayLayout(store.place_layout, 2)
        super().__init__({
            "keys_finished": In(1), "values_finished": In(1),
            "keys_place": In(place), "values_place": In(place),
            "keys_ends": In(ends), "values_ends": In(ends),
            "keys_bank": In(1), "values_bank": In(1), "mismatch": Out(1), "failed": Out(2)})

    def elaborate(self, platform):
        m = Module()
        # Sets of keys less sets of values that have come; the one that is behind compares.
        lead = Signal(signed(3))
        m.d.sync += lead.eq(lead + self.keys_finished - self.values_finished)
        both, bank = Signal(), Signal()
        with m.If(self.keys_finished & (lead < 0)):
            other = Mux(self.keys_bank, self.values_ends[1], self.values_ends[0])
            m.d.comb += [both.eq(1), bank.eq(self.keys_bank),
                         self.mismatch.eq(Cat(self.keys_place) != Cat(other))]
        with m.Elif(self.values_finished & (lead > 0)):
            other = Mux(self.values_bank, self.keys_ends[1], self.keys_ends[0])
            m.d.comb += [both.eq(1), bank.eq(self.values_bank),
                         self.mismatch.eq(Cat(self.values_place) != Cat(other))]
        with m.Elif(self.keys_finished & self.values_finished):
            m.d.comb += [both.eq(1), bank.eq(self.keys_bank),
                         self.mismatch.eq(Cat(self.keys_place) != Cat(self.values_place))]
        for number in range(2):
            with m.If(both & (bank == number)):
                m.d.sync += self.failed[number].eq(self.mismatch)
        return m
