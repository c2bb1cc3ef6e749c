"""Table in block RAM, read at several places at a time."""

from amaranth import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delays

__all__ = ["BlockTable"]

# Reads of one block RAM in a cycle.
PORTS = 2


class BlockTable(wiring.Component):
    """Words by number, from as many copies in block RAM as reads at a time ask for.

    Latency :attr:`latency` cycles: the block RAM's own, and a register behind it.

    Parameters
    ----------
    words : sequence of int
        Unsigned; beyond them all is 0.
    width : int
        Width of a word.
    reads : int
        Reads in a cycle.

    Members
    -------
    index : In(bits).array(reads)
    o : Out(width).array(reads)
    """

    latency = 2

    def __init__(self, words, width, reads):
        self.words = list(words)
        self.width = width
        self.reads = reads
        bits = max((len(self.words) - 1).bit_length(), 1)
        super().__init__({"index": In(bits).array(reads), "o": Out(width).array(reads)})

    def elaborate(self, platform):
        m = Module()
        for start in range(0, self.reads, PORTS):
            copy = memory.Memory(shape=self.width, depth=max(len(self.words), 2),
                                 init=self.words, attrs={"ram_style": "block"})
            m.submodules[f"copy_{start // PORTS}"] = copy
            for k in range(start, min(start + PORTS, self.reads)):
                read = copy.read_port()
                m.d.comb += [read.addr.eq(self.index[k]), read.en.eq(1),
                             self.o[k].eq(delays(m, read.data, 1, f"word_{k}")[-1])]
        return m
