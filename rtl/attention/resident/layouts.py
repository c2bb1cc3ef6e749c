"""What passes between the parts that keep sets: commands, loads, packets of queries."""

from amaranth import unsigned
from amaranth.lib import data, enum

from ..vector_beat import VectorLayout
from .positions import position_shape

__all__ = ["COMMAND", "CommandLayout", "LoadLayout", "Operation", "PacketLayout"]


class Operation(enum.Enum, shape=unsigned(3)):
    """What a command asks for."""

    #: ``count`` queries of head ``head`` come, the first of them at position ``offset``.
    QUERY = 0
    #: ``count`` keys and values come, for the end of the set.
    APPEND = 1
    #: Keys from position ``count`` on leave the set. Queries that were accepted before find them
    #: nevertheless, if need be once their values have come; with ``abort`` these queries fail.
    TRUNCATE = 2
    #: The same with a count of 0.
    FREE = 3
    #: Parameters of head ``head`` come, for queries that are accepted later.
    HEAD = 4


#: Fields of a command, in the order of its bits.
COMMAND = data.StructLayout({
    "operation": Operation, "abort": unsigned(1), "spare": unsigned(4), "head": unsigned(8),
    "set": unsigned(16), "count": unsigned(16), "offset": unsigned(16)})


class CommandLayout(VectorLayout):
    """One command: two words of 32 bits, of which :data:`COMMAND` are the fields."""

    def __init__(self):
        super().__init__(unsigned(32), COMMAND.size // 32)


class LoadLayout(data.StructLayout):
    """Vectors that are on their way to a set.

    Parameters
    ----------
    regions : Regions
        Memory that the set is in.

    Members
    -------
    set : range(sets)
        Number of the set.
    base : range(sets * words)
        First word of its region.
    word : range(words)
        Word of the first vector in the region.
    position : position_shape(regions)
        Position of the first vector.
    count : unsigned(16)
        Number of vectors, 1 at least.
    drop : unsigned(1)
        The vectors are not stored.
    """

    def __init__(self, regions):
        super().__init__({
            "set": range(regions.sets), "base": range(regions.sets * regions.words),
            "word": range(regions.words), "position": position_shape(regions),
            "count": unsigned(16), "drop": unsigned(1)})


class PacketLayout(data.StructLayout):
    """Queries of one command, and the set as it was when they were accepted.

    Parameters
    ----------
    regions : Regions
        Memory that the set is in.

    Members
    -------
    set : range(sets)
        Number of the set.
    base : range(sets * words)
        First word of its region.
    keys : position_shape(regions)
        Number of its keys, so the position of the next one.
    held : range(ring_keys + 1)
        Keys that the ring holds.
    word : range(ring_words)
        Word of the ring that the next key goes to.
    count : unsigned(16)
        Number of queries, 1 at least.
    offset : unsigned(position_bits)
        Position of the first query.
    failed : unsigned(1)
        There is nothing to answer from.
    """

    def __init__(self, regions):
        super().__init__({
            "set": range(regions.sets), "base": range(regions.sets * regions.words),
            "keys": position_shape(regions), "held": range(regions.ring_keys + 1),
            "word": range(regions.ring_words), "count": unsigned(16),
            "offset": unsigned(regions.position_bits), "failed": unsigned(1)})
