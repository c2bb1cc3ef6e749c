"""A unit from memory to memory: registers behind AXI4-Lite ports, rows behind an AXI3 master."""

from amaranth import (
    Cat,
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Module,
    ResetInserter,
    ResetSignal,
    Signal,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..stream.register_slice import RegisterSlice
from .controlled import ControlledUnit
from .dma_beat import ByteBeat
from .dma_bursts import BYTES
from .dma_queue import DmaQueue
from .dma_read import ReadDma
from .dma_registers import Channel
from .dma_requests import DmaRequests
from .dma_write import WriteDma
from .gearbox import Gearbox
from .read_port import CONSTANTS, ID_BITS, ReadPort
from .user_join import UserJoin

__all__ = ["MEMORY", "USERS", "DmaUnit"]

#: Where the words of TUSER come from.
USERS = ("constant", "memory")

def _address(channel, access):
    """Ports of an address channel."""
    return {f"{channel}{name}": (flow, width, meaning) for name, flow, width, meaning in (
        ("id", Out, ID_BITS, f"ID of a {access} burst"),
        ("addr", Out, 32, f"byte address of a {access} burst"),
        ("len", Out, 4, "beats of the burst, less one"),
        ("size", Out, 3, "bytes of a beat; constant: 8"),
        ("burst", Out, 2, "kind of burst; constant: incrementing"),
        ("lock", Out, 2, "constant: normal"), ("cache", Out, 4, "constant: bufferable, modifiable"),
        ("prot", Out, 3, "constant: data, secure, unprivileged"), ("qos", Out, 4, "constant: 0"),
        ("valid", Out, 1, "a burst is asked for"), ("ready", In, 1, "it is taken, if asked for"))}


#: Ports of the memory bus: direction, width and meaning, by the name without ``m_axi_``.
MEMORY = {
    **_address("aw", "write"),
    "wid": (Out, ID_BITS, "ID of the burst that the data is of; constant: 0"),
    "wdata": (Out, 64, "data of a write"), "wstrb": (Out, 8, "bit k: write byte k"),
    "wlast": (Out, 1, "the beat ends its burst"), "wvalid": (Out, 1, "data is offered"),
    "wready": (In, 1, "it is taken, if offered"),
    "bid": (In, ID_BITS, "ID of a response; not looked at"),
    "bresp": (In, 2, "response to a write burst"), "bvalid": (In, 1, "a response is offered"),
    "bready": (Out, 1, "it is taken, if offered; always high"),
    **_address("ar", "read"),
    "rid": (In, ID_BITS, "ID of the burst that the data is of"),
    "rdata": (In, 64, "data of a read"), "rresp": (In, 2, "response of a beat"),
    "rlast": (In, 1, "the beat ends its burst"), "rvalid": (In, 1, "data is offered"),
    "rready": (Out, 1, "it is taken, if offered; always high"),
}


class DmaUnit(wiring.Component):
    """An AXI4-Stream shell with registers whose streams come from memory and go there.

    Each stream of the unit has a DMA channel (:class:`~rtl.bus.dma_read.ReadDma`,
    :class:`~rtl.bus.dma_write.WriteDma`) that software gives descriptors
    (:mod:`~rtl.bus.dma_registers`): a row in memory is a packet, its bytes are those of TDATA,
    lowest first, whatever the width of a beat. Streams without TKEEP take rows of whole beats.

    A memory port of the unit (``config.memory_ports``: a stream of read requests, and one of their
    answers) has one channel, which the unit drives: a request is a row, its answer a packet.
    Software sees what the channel does, and its errors.

    TUSER is 0, or with ``user="memory"`` comes through a channel of its own: a row of words for
    each row, a word of whole bytes for each beat.

    A reset by software empties the unit and ends what the channels do by the rules of the bus:
    bursts that were asked for are waited for, further ones are not begun. STATUS.DRAINING is high
    meanwhile. ``aresetn`` has to come when nothing is under way, or to memory, too.

    Throughput 8 bytes per cycle in either direction, or what the unit takes.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit, with one stream out beside its read requests.
    shell : AxiStream
        Its shell.
    version : str
        Version of the generator.
    module : Component or None
        What stands for the shell, if that is emitted elsewhere.
    user : str
        One of :data:`USERS`.

    Members
    -------
    aclk : In(1)
        Clock.
    aresetn : In(1)
        Synchronous reset, active low.
    s_axi_<signal> : In(width) or Out(width)
        AXI4-Lite slave, of :class:`~rtl.bus.controlled.ControlledUnit`.
    irq : Out(1)
        Interrupt, active high, as long as an enabled event is pending.
    m_axi_<signal> : In(width) or Out(width)
        AXI3 master, of :data:`MEMORY`.
    error : Out(1)
        The unit's ``error``, sticky until one of the two resets.
    <name> : Out(shape)
        Any other output of the unit that is no stream.
    """

    def __init__(self, config, shell, version, module=None, user="constant"):
        if user not in USERS:
            raise ValueError(f"User must be one of {', '.join(USERS)}, not {user!r}")
        outputs = [name for name, flow in shell.flows.items()
                   if flow is Out and name not in config.memory_ports]
        if len(outputs) > 1:
            raise ValueError(f"Unit must have one stream out beside its read requests, not "
                             f"{', '.join(outputs)}")
        self.shell = shell
        #: Streams at the ports: none.
        self.buses = {}
        #: Descriptor channels, in the order of their registers.
        self.channels = tuple(_channels(config, shell, user))
        self._control = ControlledUnit(config, shell, version, module, self.channels)
        #: The register map.
        self.registers = self._control.registers
        streams = tuple(f"{bus}_" for bus in shell.buses.values())
        self._passed = {
            name: member for name, member in self._control.signature.members.items()
            if name not in self._control.dma_ports and not name.startswith(streams)}
        memory = {f"m_axi_{name}": flow(width) for name, (flow, width, _) in MEMORY.items()}
        super().__init__({**self._passed, **memory})
        self._annotate()

    @property
    def interfaces(self):
        """Names of the bus interfaces that tools are to find."""
        return ["s_axi", "m_axi"]

    def _annotate(self):
        """Add the attributes by which Vivado's IP packager groups ports."""
        for name in self._passed:
            getattr(self, name).attrs.update(getattr(self._control, name).attrs)
        for name in MEMORY:
            getattr(self, f"m_axi_{name}").attrs.update(
                X_INTERFACE_INFO=f"xilinx.com:interface:aximm:1.0 m_axi {name.upper()}")
        self.m_axi_awid.attrs.update(X_INTERFACE_PARAMETER="PROTOCOL AXI3, DATA_WIDTH 64")
        self.aclk.attrs.update(X_INTERFACE_PARAMETER="ASSOCIATED_BUSIF s_axi:m_axi, "
                                                     "ASSOCIATED_RESET aresetn")

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(local=True)
        reset = Signal(init=1, reset_less=True)
        m.d.sync += reset.eq(~self.aresetn)
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(reset)]
        # Amaranth has no clock domain within another one of the same name.
        control = self._control
        m.submodules.control = DomainRenamer("control")(control)
        for name, member in self._passed.items():
            ends = getattr(control, name), getattr(self, name)
            m.d.comb += ends[0].eq(ends[1]) if member.flow is In else ends[1].eq(ends[0])

        busy, draining = Signal(), Signal()
        with m.If(control.control_reset):
            m.d.sync += draining.eq(1)
        with m.Elif(~busy):
            m.d.sync += draining.eq(0)
        m.d.comb += control.draining.eq(draining)
        readers = [channel for channel in self.channels if not channel.writes]
        m.submodules.port = port = ReadPort(len(readers))
        ports = {}
        active = [self._channel(m, channel, draining, port, readers, ports)
                  for channel in self.channels]
        m.d.comb += busy.eq(Cat(active).any())
        for channel in readers:
            if not channel.user:
                self._feed(m, channel, draining, ports)
        self._read_bus(m, port, reset)
        return m

    def _channel(self, m, channel, draining, port, readers, ports):
        """A channel's DMA and its registers; returns whether it is busy."""
        control, name = self._control, channel.name.lower()

        def field(what):
            return getattr(control, f"{name}_{what}")
        waiting = Signal(name=f"{name}_waiting")
        if channel.requests:
            queue = self._requests(m, channel)
        else:
            queue = DmaQueue()
            m.d.comb += [
                *(queue.i[part].eq(field(f"{part}_value"))
                  for part in ("address", "bytes", "rows", "stride")),
                queue.start.eq(field("start_start")), waiting.eq(queue.busy),
                field("status_full").eq(queue.full),
                field("errors_overrun_set").eq(queue.overrun),
            ]
        dma = WriteDma() if channel.writes else ReadDma()
        m.submodules[f"{name}_queue"], m.submodules[name] = queue, dma
        wiring.connect(m, queue.o, dma.i)
        m.d.comb += [
            queue.abort.eq(draining), queue.done.eq(dma.done),
            queue.clear.eq(control.clear_counters),
            # Flags that are always cleared are pulses.
            dma.clear.eq(1), dma.abort.eq(draining),
            field("status_busy").eq(waiting | dma.busy), field("done_count").eq(queue.count),
            field("errors_slverr_set").eq(dma.response == 2),
            field("errors_decerr_set").eq(dma.response == 3),
            field("errors_refused_set").eq(dma.refused),
        ]
        if channel.writes:
            m.d.comb += [field("errors_short_set").eq(dma.short),
                         field("errors_long_set").eq(dma.long),
                         control.written.eq(dma.done.any())]
            self._write_bus(m, channel, dma, draining)
        else:
            n = readers.index(channel)
            m.d.comb += [
                port.i_araddr[n].eq(dma.araddr), port.i_arlen[n].eq(dma.arlen),
                port.i_arvalid[n].eq(dma.arvalid), dma.arready.eq(port.i_arready[n]),
                dma.rvalid.eq(port.i_rvalid[n]), dma.rdata.eq(self.m_axi_rdata),
                dma.rresp.eq(self.m_axi_rresp), dma.rlast.eq(self.m_axi_rlast),
            ]
            ports[channel] = dma.o
        return field("status_busy")

    def _requests(self, m, channel):
        """The unit's own requests, in place of descriptors."""
        control, bus = self._control, self.shell.buses[channel.requests]
        size = len(getattr(control, f"{self.shell.buses[channel.stream]}_tdata")) // 8
        requests = DmaRequests(size)
        m.d.comb += [
            requests.i.payload.eq(getattr(control, f"{bus}_tdata")),
            requests.i.valid.eq(getattr(control, f"{bus}_tvalid")),
            getattr(control, f"{bus}_tready").eq(requests.i.ready),
        ]
        return requests

    def _feed(self, m, channel, draining, ports):
        """Connect what a channel reads to a slave of the unit."""
        control, stream = self._control, channel.stream
        bus = self.shell.buses[stream]
        tdata, tkeep, tuser, tlast, tvalid, tready = (
            getattr(control, f"{bus}_{name}", None)
            for name in ("tdata", "tkeep", "tuser", "tlast", "tvalid", "tready"))
        empty = ResetInserter(draining)
        gear = Gearbox(BYTES, len(tdata) // 8)
        m.submodules[f"gearbox_{stream}"] = empty(gear)
        wiring.connect(m, ports[channel], gear.i)
        rows = gear.o
        words = [each for each in ports if each.user and each.stream == stream]
        if words:
            size = -(-len(tuser) // 8)
            word_gear, join = Gearbox(BYTES, size), UserJoin(len(tdata) // 8, size)
            m.submodules[f"gearbox_{stream}_user"] = empty(word_gear)
            m.submodules[f"join_{stream}"] = empty(join)
            wiring.connect(m, ports[words[0]], word_gear.i)
            wiring.connect(m, word_gear.o, join.words)
            wiring.connect(m, gear.o, join.i)
            rows, name = join.o, words[0].name.lower()
            m.d.comb += [tuser.eq(join.user),
                         getattr(control, f"{name}_errors_short_set").eq(join.short),
                         getattr(control, f"{name}_errors_long_set").eq(join.long)]
        m.d.comb += [tdata.eq(rows.p.data), tlast.eq(rows.p.last),
                     tvalid.eq(rows.valid & ~draining), rows.ready.eq(tready & ~draining)]
        if tkeep is not None:
            m.d.comb += tkeep.eq(rows.p.keep)

    def _write_bus(self, m, channel, dma, draining):
        """Connect the master of the unit to a DMA, and that to the bus."""
        control, bus = self._control, self.shell.buses[channel.stream]
        tdata = getattr(control, f"{bus}_tdata")
        tkeep = getattr(control, f"{bus}_tkeep", None)
        gear = Gearbox(len(tdata) // 8, BYTES)
        m.submodules[f"gearbox_{channel.stream}"] = ResetInserter(draining)(gear)
        # A reset may change what the DMA offers.
        m.submodules.write_slice = beats = RegisterSlice(ByteBeat())
        wiring.connect(m, gear.o, dma.rows)
        m.d.comb += [
            gear.i.p.data.eq(tdata), gear.i.p.keep.eq(-1 if tkeep is None else tkeep),
            gear.i.p.last.eq(getattr(control, f"{bus}_tlast")),
            gear.i.valid.eq(getattr(control, f"{bus}_tvalid")),
            getattr(control, f"{bus}_tready").eq(gear.i.ready),
            beats.i.p.data.eq(dma.wdata), beats.i.p.keep.eq(dma.wstrb),
            beats.i.p.last.eq(dma.wlast), beats.i.valid.eq(dma.wvalid),
            dma.wready.eq(beats.i.ready),
            self.m_axi_wdata.eq(beats.o.p.data), self.m_axi_wstrb.eq(beats.o.p.keep),
            self.m_axi_wlast.eq(beats.o.p.last), self.m_axi_wvalid.eq(beats.o.valid),
            beats.o.ready.eq(self.m_axi_wready),
            self.m_axi_awaddr.eq(dma.awaddr), self.m_axi_awlen.eq(dma.awlen),
            self.m_axi_awvalid.eq(dma.awvalid), dma.awready.eq(self.m_axi_awready),
            dma.bvalid.eq(self.m_axi_bvalid), dma.bresp.eq(self.m_axi_bresp),
            self.m_axi_bready.eq(dma.bready),
            *(getattr(self, f"m_axi_aw{name}").eq(value) for name, value in CONSTANTS.items()),
        ]

    def _read_bus(self, m, port, reset):
        """Connect the read port to the bus; handshakes are low in reset."""
        m.d.comb += [
            self.m_axi_arid.eq(port.arid), self.m_axi_araddr.eq(port.araddr),
            self.m_axi_arlen.eq(port.arlen), self.m_axi_arvalid.eq(port.arvalid & ~reset),
            port.arready.eq(self.m_axi_arready), self.m_axi_rready.eq(1),
            port.rid.eq(self.m_axi_rid), port.rvalid.eq(self.m_axi_rvalid),
            *(getattr(self, f"m_axi_ar{name}").eq(value) for name, value in CONSTANTS.items()),
        ]


def _channels(config, shell, user):
    """Yield the channels of a unit: one a stream, and one for the words beside it."""
    requests = {answer: name for name, answer in config.memory_ports.items()}
    for name, flow in shell.flows.items():
        if name in config.memory_ports:
            continue
        packet = config.data_sheet.formats[name].packet
        yield Channel(name, flow is Out, False, packet, requests.get(name))
        if flow is In and user == "memory" and hasattr(shell, f"{shell.buses[name]}_tuser"):
            yield Channel(name, False, True, packet)
