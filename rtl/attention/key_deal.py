"""Deal of the keys of a set to the lanes of the stores, a group of neighbouring keys at a time."""

import dataclasses

from amaranth import Cat, Const, Signal

from ..blocks.lookup import lookup

__all__ = ["KeyDeal"]


@dataclasses.dataclass(frozen=True)
class KeyDeal:
    """Lanes and words of the keys of a group: key ``i`` is in lane ``i % lanes``.

    A lane has up to :attr:`slots` keys of a group, in neighbouring words. Unless ``lanes`` divides
    ``flags``, groups start in other lanes by turns.

    Attributes
    ----------
    flags : int
        Keys of a group, a power of two.
    lanes : int
        Lanes of the stores.
    max_keys : int
        Keys of a set at most.
    """

    flags: int
    lanes: int
    max_keys: int

    @property
    def groups(self):
        """Groups of the longest set."""
        return -(-self.max_keys // self.flags)

    @property
    def words(self):
        """Words of the longest set in the stores."""
        return -(-self.max_keys // self.lanes)

    @property
    def turns(self):
        """Lanes that first keys of groups are in, ascending."""
        return tuple(sorted({group * self.flags % self.lanes
                             for group in range(min(self.groups, self.lanes))}))

    @property
    def turned(self):
        """Whether there are several."""
        return len(self.turns) > 1

    @property
    def slots(self):
        """Keys of a group that a lane has at most."""
        return -(-(self.turns[-1] + self.flags) // self.lanes)

    def first(self, m, group, name):
        """Lane of the first key of a group, and its word.

        Where groups do not turn the word is the group, to which :meth:`word` adds the slot.
        """
        if not self.turned:
            return Const(0, 1), group
        if self.lanes & (self.lanes - 1) == 0:
            key = Cat(Const(0, (self.flags - 1).bit_length()), group)
            bits = (self.lanes - 1).bit_length()
            return key[:bits], key[bits:]
        word, lane = zip(*(divmod(group * self.flags, self.lanes)
                           for group in range(self.groups)), strict=True)
        return (lookup(m, group, lane, name=f"{name}_lane"),
                lookup(m, group, word, name=f"{name}_word"))

    def word(self, first, slot):
        """Word of the key in a slot of a group, whose first key is in ``first``."""
        return first + slot if self.turned else Cat(slot, first)

    def dealt(self, m, values, lane, name):
        """Values of a group's keys by lane and slot, 0 where a lane has no key there."""
        places = [Signal(len(values[0]), name=f"{name}_{place % self.lanes}_{place // self.lanes}")
                  for place in range(self.slots * self.lanes)]
        with m.Switch(lane):
            for turn in self.turns:
                with m.Case(turn):
                    m.d.comb += [place.eq(value) for place, value in
                                 zip(places[turn:], values, strict=False)]
        return [places[number::self.lanes] for number in range(self.lanes)]
