"""One read port of a bus for several read DMAs."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .dma_bursts import BYTES

__all__ = ["ID_BITS", "ReadPort"]

#: Bits of an ID at the bus: as many as the HP ports of a Zynq-7000 have.
ID_BITS = 6


class ReadPort(wiring.Component):
    """Shares an AXI3 read port among read DMAs: bursts of DMA ``n`` have the ID ``n``.

    Bursts are granted round-robin. Data goes where its ID says, in any order of the IDs; each DMA
    has room for what it asked for (:class:`~rtl.bus.dma_read.ReadDma`), so ``rready`` is always
    high.

    Latency 1 cycle for addresses, 0 for data; throughput one burst per cycle.

    Parameters
    ----------
    channels : int
        Number of DMAs, at most 64.

    Members
    -------
    i_araddr : In(32).array(channels)
        Byte address of a burst of each DMA.
    i_arlen : In(4).array(channels)
        Its beats, less one.
    i_arvalid : In(channels)
        Bit n set: DMA n asks for a burst.
    i_arready : Out(channels)
        Bit n set: it is granted.
    i_rvalid : Out(channels)
        Bit n set: the data is for DMA n.
    arid : Out(6)
        DMA that a burst is for.
    araddr : Out(32)
        Byte address.
    arlen : Out(4)
        Beats, less one.
    arvalid : Out(1)
        A burst is asked for.
    arready : In(1)
        It is taken, if asked for.
    rid : In(6)
        DMA that the data is for.
    rvalid : In(1)
        Data is offered.
    """

    def __init__(self, channels):
        if not 1 <= channels <= 1 << ID_BITS:
            raise ValueError(f"Channels must be 1..{1 << ID_BITS}, not {channels}")
        self.channels = channels
        super().__init__({
            "i_araddr": In(32).array(channels), "i_arlen": In(4).array(channels),
            "i_arvalid": In(channels), "i_arready": Out(channels), "i_rvalid": Out(channels),
            "arid": Out(ID_BITS), "araddr": Out(32), "arlen": Out(4), "arvalid": Out(1),
            "arready": In(1), "rid": In(ID_BITS), "rvalid": In(1)})

    def elaborate(self, platform):
        m = Module()
        count = self.channels
        grant, latest = Signal(range(count)), Signal(range(count))
        # The one behind the latest comes first; the last assignment wins.
        m.d.comb += grant.eq(latest)
        with m.Switch(latest):
            for before in range(count):
                with m.Case(before):
                    for n in reversed(range(1, count + 1)):
                        channel = (before + n) % count
                        with m.If(self.i_arvalid[channel]):
                            m.d.comb += grant.eq(channel)
        with m.If(self.arready):
            m.d.sync += self.arvalid.eq(0)
        with m.If(self.i_arvalid.any() & (self.arready | ~self.arvalid)):
            m.d.comb += self.i_arready.eq(1 << grant)
            m.d.sync += [self.arvalid.eq(1), self.arid.eq(grant), latest.eq(grant)]
            with m.Switch(grant):
                for n in range(count):
                    with m.Case(n):
                        m.d.sync += [self.araddr.eq(self.i_araddr[n]),
                                     self.arlen.eq(self.i_arlen[n])]
        m.d.comb += [self.i_rvalid[n].eq(self.rvalid & (self.rid == n)) for n in range(count)]
        return m


#: Constant signals of the port's bursts: beats of 8 bytes, incrementing, bufferable.
CONSTANTS = {"size": BYTES.bit_length() - 1, "burst": 1, "cache": 3, "prot": 0, "lock": 0,
             "qos": 0}
