"""AXI4-Lite slave: the five channels of the bus, in front of a register file."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .registers import WORD

__all__ = ["OKAY", "SLVERR", "AxiLite"]

# Responses.
OKAY = 0b00
SLVERR = 0b10


class AxiLite(wiring.Component):
    """AXI4-Lite slave with 32 bits of data that turns transactions into reads and writes of words.

    Address and data of a write may come in any order, with any time between them: each waits in a
    register of its own for the other. Every write gets one response and every read one, in order:
    OKAY if the register is known, SLVERR if not. The two lowest bits of an address are not looked
    at. Ready and valid come from registers, no valid waits for a ready, and a response stays as it
    is until it is taken. Reset forgets transactions under way.

    A write takes effect 1 cycle after the later one of its two parts was accepted, its response is
    valid a cycle after that; a read's data is valid 2 cycles after its address was accepted.
    Throughput one read and one write in 2 cycles.

    Parameters
    ----------
    address_bits : int
        Bits of a byte address.

    Members
    -------
    awaddr : In(address_bits)
        Byte address of a write.
    awvalid : In(1)
        It is offered.
    awready : Out(1)
        It is taken, if offered.
    wdata : In(32)
        Data of a write.
    wstrb : In(4)
        Bit k set: write byte k.
    wvalid : In(1)
        They are offered.
    wready : Out(1)
        They are taken, if offered.
    bresp : Out(2)
        Response to a write.
    bvalid : Out(1)
        It is offered.
    bready : In(1)
        It is taken, if offered.
    araddr : In(address_bits)
        Byte address of a read.
    arvalid : In(1)
        It is offered.
    arready : Out(1)
        It is taken, if offered.
    rdata : Out(32)
        Data read.
    rresp : Out(2)
        Response to a read.
    rvalid : Out(1)
        They are offered.
    rready : In(1)
        They are taken, if offered.
    read_address : Out(address_bits - 2)
        Number of the word that is read.
    read_data : In(32)
        Its value, in the same cycle.
    read_known : In(1)
        There is a register at ``read_address``.
    write : Out(1)
        Pulses when a word is written.
    write_address : Out(address_bits - 2)
        Number of the word that is written.
    write_data : Out(32)
        Its value.
    write_strobe : Out(4)
        Bit k set: write byte k.
    write_known : In(1)
        There is a register at ``write_address``.
    """

    def __init__(self, address_bits):
        self.address_bits = address_bits
        super().__init__({
            "awaddr": In(address_bits), "awvalid": In(1), "awready": Out(1, init=1),
            "wdata": In(WORD), "wstrb": In(WORD // 8), "wvalid": In(1), "wready": Out(1, init=1),
            "bresp": Out(2), "bvalid": Out(1), "bready": In(1),
            "araddr": In(address_bits), "arvalid": In(1), "arready": Out(1, init=1),
            "rdata": Out(WORD), "rresp": Out(2), "rvalid": Out(1), "rready": In(1),
            "read_address": Out(address_bits - 2), "read_data": In(WORD), "read_known": In(1),
            "write": Out(1), "write_address": Out(address_bits - 2), "write_data": Out(WORD),
            "write_strobe": Out(WORD // 8), "write_known": In(1)})

    def elaborate(self, platform):
        m = Module()
        # An address, or data, waits while its channel is not ready.
        m.d.comb += self.write.eq(~self.awready & ~self.wready & (self.bready | ~self.bvalid))
        with m.If(self.awvalid & self.awready):
            m.d.sync += [self.awready.eq(0), self.write_address.eq(self.awaddr[2:])]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [self.wready.eq(0), self.write_data.eq(self.wdata),
                         self.write_strobe.eq(self.wstrb)]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(self.write):
            m.d.sync += [self.awready.eq(1), self.wready.eq(1), self.bvalid.eq(1),
                         self.bresp.eq(Mux(self.write_known, OKAY, SLVERR))]

        read = Signal()
        m.d.comb += read.eq(~self.arready & (self.rready | ~self.rvalid))
        with m.If(self.arvalid & self.arready):
            m.d.sync += [self.arready.eq(0), self.read_address.eq(self.araddr[2:])]
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(read):
            m.d.sync += [self.arready.eq(1), self.rvalid.eq(1), self.rdata.eq(self.read_data),
                         self.rresp.eq(Mux(self.read_known, OKAY, SLVERR))]
        return m
