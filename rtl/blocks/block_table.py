"""Table in block RAM with several read ports."""

from amaranth import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delays

__all__ = ["BlockTable"]

# Read ports of one block RAM.
PORTS = 2


class BlockTable(wiring.Component):
    """Table lookup ``o[k] = words[index[k]]``, replicated for bandwidth.

    Each block RAM serves two reads per cycle, so ``ceil(reads / 2)`` copies are built. Latency
    :attr:`latency` cycles (block RAM, output register), throughput ``reads`` words per cycle; never
    stalls.

    Parameters
    ----------
    words : sequence of int
        Contents, unsigned; 0 beyond the last word.
    width : int
        Width of a word.
    reads : int
        Reads per cycle.

    Members
    -------
    index : In(max((len(words) - 1).bit_length(), 1)).array(reads)
        Addresses.
    o : Out(width).array(reads)
        Words read, :attr:`latency` cycles later.
    """

    #: Latency in cycles.
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
