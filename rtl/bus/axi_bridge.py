"""AXI3 slave in front of an AXI4-Lite slave: for processors whose port has IDs and bursts."""

from amaranth import Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi_lite import OKAY
from .registers import WORD

__all__ = ["DECERR", "AxiBridge"]

DECERR = 0b11

# Bits of an ID: as many as the GP ports of a Zynq-7000 have.
ID_BITS = 12


class AxiBridge(wiring.Component):
    """Turns the bursts of an AXI3 master with 32 bits of data into single accesses.

    Any length, size and kind of burst (fixed, incrementing, wrapping): a beat becomes an access to
    the word that it is in, in order, with its strobes. A read returns the whole word. The response
    of a write is that of the first beat that was not OKAY, else OKAY. Beats outside the window are
    answered DECERR and go nowhere.

    One read and one write burst are worked on at a time. Latency 2 cycles beside those of the
    slave, throughput one beat in 5 cycles with :class:`~rtl.bus.axi_lite.AxiLite`. Handshakes are
    low in reset.

    Parameters
    ----------
    base : int
        Byte address of the window.
    address_bits : int
        Bits of a byte address in it.

    Members
    -------
    awid, arid : In(12)
        ID of a burst.
    awaddr, araddr : In(32)
        Byte address of its first beat.
    awlen, arlen : In(4)
        Beats, less one.
    awsize, arsize : In(3)
        Logarithm of the bytes of a beat, at most 2.
    awburst, arburst : In(2)
        0 fixed, 1 incrementing, 2 wrapping.
    awvalid, arvalid : In(1)
        A burst is asked for.
    awready, arready : Out(1)
        It is taken, if asked for.
    wdata : In(32)
        Data of a write.
    wstrb : In(4)
        Bit k set: write byte k.
    wlast : In(1)
        The beat ends its burst.
    wvalid : In(1)
        Data is offered.
    wready : Out(1)
        It is taken, if offered.
    bid : Out(12)
        ID of the burst that is answered.
    bresp : Out(2)
        Response to it.
    bvalid : Out(1)
        It is offered.
    bready : In(1)
        It is taken, if offered.
    rid : Out(12)
        ID of the burst that the data is of.
    rdata : Out(32)
        Data of a read.
    rresp : Out(2)
        Response to the beat.
    rlast : Out(1)
        The beat ends its burst.
    rvalid : Out(1)
        They are offered.
    rready : In(1)
        They are taken, if offered.
    m_awaddr, m_araddr : Out(address_bits)
        Byte address of an access.
    m_awvalid, m_wvalid, m_bready, m_arvalid, m_rready : Out(1)
        Handshakes of the AXI4-Lite slave.
    m_awready, m_wready, m_bvalid, m_arready, m_rvalid : In(1)
        Theirs in return.
    m_wdata : Out(32)
        Data of a write.
    m_wstrb : Out(4)
        Its strobes.
    m_bresp : In(2)
        Response to a write.
    m_rdata : In(32)
        Data of a read.
    m_rresp : In(2)
        Response to a read.
    """

    def __init__(self, base, address_bits=12):
        if base % (1 << address_bits) or not 0 <= base < 1 << 32:
            raise ValueError(f"Base must be a multiple of 0x{1 << address_bits:x} below 4 GiB, "
                             f"not 0x{base:x}")
        self.base, self.address_bits = base, address_bits
        address = {f"a{c}{name}": In(width) for c in "wr" for name, width in (
            ("id", ID_BITS), ("addr", 32), ("len", 4), ("size", 3), ("burst", 2), ("valid", 1))}
        super().__init__({
            **address, "awready": Out(1), "arready": Out(1),
            "wdata": In(WORD), "wstrb": In(4), "wlast": In(1), "wvalid": In(1), "wready": Out(1),
            "bid": Out(ID_BITS), "bresp": Out(2), "bvalid": Out(1), "bready": In(1),
            "rid": Out(ID_BITS), "rdata": Out(WORD), "rresp": Out(2), "rlast": Out(1),
            "rvalid": Out(1), "rready": In(1),
            "m_awaddr": Out(address_bits), "m_awvalid": Out(1), "m_awready": In(1),
            "m_wdata": Out(WORD), "m_wstrb": Out(4), "m_wvalid": Out(1), "m_wready": In(1),
            "m_bresp": In(2), "m_bvalid": In(1), "m_bready": Out(1),
            "m_araddr": Out(address_bits), "m_arvalid": Out(1), "m_arready": In(1),
            "m_rdata": In(WORD), "m_rresp": In(2), "m_rvalid": In(1), "m_rready": Out(1)})

    def elaborate(self, platform):
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _burst(self, m, channel, advance):
        """Registers of a burst: address of its beat, whether that is in the window, beats left."""
        def port(name):
            return getattr(self, f"{channel}{name}")
        address = Signal(32, name=f"{channel}_address")
        left, size, kind = (Signal(width, name=f"{channel}_{name}")
                            for name, width in (("left", 4), ("size", 3), ("kind", 2)))
        name = Signal(ID_BITS, name=f"{channel}_id")
        # Bits that change within a wrapping burst.
        wrap = Signal(6, name=f"{channel}_wrap")
        step = Signal(3, name=f"{channel}_step")
        following = Signal(32, name=f"{channel}_following")
        m.d.comb += [step.eq(1 << size[:2]), following.eq((address & ~(step - 1)) + step)]
        with m.If(port("valid") & port("ready")):
            m.d.sync += [address.eq(port("addr")), left.eq(port("len")), size.eq(port("size")),
                         kind.eq(port("burst")), name.eq(port("id")),
                         wrap.eq(((port("len") + 1) << port("size")[:2]) - 1)]
        with m.Elif(advance):
            m.d.sync += left.eq(left - 1)
            with m.If(kind == 1):
                m.d.sync += address.eq(following)
            with m.If(kind == 2):
                m.d.sync += address[:6].eq((address[:6] & ~wrap) | (following[:6] & wrap))
        inside = address[self.address_bits:] == self.base >> self.address_bits
        return name, address[:self.address_bits], inside, left

    def _write(self, m):
        advance, response = Signal(), Signal(2)
        address_done, data_done, last = Signal(), Signal(), Signal()
        name, address, inside, _ = self._burst(m, "aw", advance)
        m.d.comb += [self.bid.eq(name), self.bresp.eq(response), self.m_awaddr.eq(address),
                     self.m_wdata.eq(self.wdata), self.m_wstrb.eq(self.wstrb)]
        with m.FSM(name="write"):
            with m.State("ADDRESS"):
                m.d.comb += self.awready.eq(~ResetSignal())
                m.d.sync += response.eq(OKAY)
                with m.If(self.awvalid & self.awready):
                    m.next = "DATA"
            with m.State("DATA"):
                with m.If(inside):
                    m.d.comb += [
                        self.m_awvalid.eq(self.wvalid & ~address_done),
                        self.m_wvalid.eq(self.wvalid & ~data_done),
                        self.wready.eq((address_done | self.m_awready) &
                                       (data_done | self.m_wready)),
                    ]
                with m.Else():
                    m.d.comb += self.wready.eq(1)
                with m.If(self.m_awvalid & self.m_awready):
                    m.d.sync += address_done.eq(1)
                with m.If(self.m_wvalid & self.m_wready):
                    m.d.sync += data_done.eq(1)
                with m.If(self.wvalid & self.wready):
                    m.d.sync += [address_done.eq(0), data_done.eq(0), last.eq(self.wlast)]
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self.m_bready.eq(inside), advance.eq(self.m_bvalid | ~inside)]
                with m.If(advance):
                    with m.If(response == OKAY):
                        m.d.sync += response.eq(Mux(inside, self.m_bresp, DECERR))
                    m.next = "DATA"
                    with m.If(last):
                        m.next = "RESPONSE"
            with m.State("RESPONSE"):
                m.d.comb += self.bvalid.eq(~ResetSignal())
                with m.If(self.bready):
                    m.next = "ADDRESS"

    def _read(self, m):
        advance = Signal()
        name, address, inside, left = self._burst(m, "ar", advance)
        m.d.comb += [self.rid.eq(name), self.m_araddr.eq(address), self.rlast.eq(left == 0),
                     self.rdata.eq(Mux(inside, self.m_rdata, 0)),
                     self.rresp.eq(Mux(inside, self.m_rresp, DECERR))]
        with m.FSM(name="read"):
            with m.State("ADDRESS"):
                m.d.comb += self.arready.eq(~ResetSignal())
                with m.If(self.arvalid & self.arready):
                    m.next = "ACCESS"
            with m.State("ACCESS"):
                m.d.comb += self.m_arvalid.eq(inside)
                with m.If(self.m_arready | ~inside):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [self.rvalid.eq((self.m_rvalid | ~inside) & ~ResetSignal()),
                             self.m_rready.eq(inside & self.rready),
                             advance.eq(self.rvalid & self.rready)]
                with m.If(advance):
                    m.next = "ACCESS"
                    with m.If(self.rlast):
                        m.next = "ADDRESS"
