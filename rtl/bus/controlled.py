"""A unit behind AXI4-Stream ports, with registers behind AXI4-Lite ports."""

from amaranth import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Module,
    Mux,
    ResetSignal,
    Signal,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .register_slave import RegisterSlave
from .row_parameters import RowParameters
from .stream_monitor import StreamMonitor
from .unit_registers import CLEAR, checks, unit_registers

__all__ = ["CHANNELS", "ControlledUnit"]

#: Ports of the register bus: what each is, by its name without the prefix ``s_axi_``.
CHANNELS = {
    "awaddr": "byte address of a write", "awprot": "protection; not looked at",
    "awvalid": "an address is offered", "awready": "it is taken, if offered",
    "wdata": "data of a write", "wstrb": "bit k: write byte k",
    "wvalid": "data is offered", "wready": "it is taken, if offered",
    "bresp": "response to a write: 0 OKAY; 2 SLVERR, there is no such register",
    "bvalid": "a response is offered", "bready": "it is taken, if offered",
    "araddr": "byte address of a read", "arprot": "protection; not looked at",
    "arvalid": "an address is offered", "arready": "it is taken, if offered",
    "rdata": "data of a read", "rresp": "response to a read: as bresp",
    "rvalid": "data is offered", "rready": "it is taken, if offered",
}

# Bits of the number of packets inside a unit.
HELD_BITS = 16


class ControlledUnit(wiring.Component):
    """An AXI4-Stream shell with a register map (:func:`~rtl.bus.unit_registers.unit_registers`).

    The streams pass through unchanged, and are watched on their way: no latency is added, and
    nothing in their path. Of the unit's ports that are no streams, ``config.controls`` become
    registers; outputs stay, and can be read. Its ``error`` sets bit UNIT of ERRORS when it rises,
    each of ``config.causes`` a bit UNIT_... when it does, and the monitors of the inputs the bits
    of what they find, for each packet anew; a marked vector at an output sets its bit, too.
    CONTROL.CLEAR_ERRORS clears the causes as well. What a row's first beat brings comes from
    registers or from TUSER
    (:class:`~rtl.bus.row_parameters.RowParameters`); a row that is inside keeps what it came with.
    A reset by CONTROL does to the unit what ``aresetn`` does, and leaves the registers as they are.

    Reset is as that of the shell: synchronous, registered, with all handshakes low from the cycle
    after ``aresetn`` was sampled low.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    shell : AxiStream
        Its shell.
    version : str
        Version of the generator.
    module : Component or None
        What stands for the shell, if that is emitted elsewhere.
    channels : sequence of Channel
        DMA channels between the streams and memory, if there are such: their registers become
        ports.

    Members
    -------
    aclk : In(1)
        Clock.
    aresetn : In(1)
        Synchronous reset, active low.
    s_axi_<signal> : In(width) or Out(width)
        AXI4-Lite slave, of :class:`~rtl.bus.axi_lite.AxiLite`; and its ports that are not looked
        at, for tools that ask for them:
    awprot, arprot : In(3)
        Protection.
    irq : Out(1)
        Interrupt, active high, as long as an enabled event is pending.
    <bus>_<signal> : In(width) or Out(width)
        Streams of the shell.
    error : Out(1)
        The unit's ``error``, sticky until one of the two resets, or until software clears errors
        if the unit has causes.
    dma_<field> : In(width) or Out(width)
        With DMA channels, as all of the following: fields of the channels' registers, of
        :class:`~rtl.bus.register_file.RegisterFile`, with the pulses that set them;
        ``CONTROL.CLEAR_ERRORS`` clears them, too.
    control_reset : Out(1)
        Pulses when software resets the unit.
    clear_counters : Out(1)
        Pulses when software clears the counters.
    draining : In(1)
        Hold the unit in reset.
    written : In(1)
        Pulses when rows are in memory.
    """

    def __init__(self, config, shell, version, module=None, channels=()):
        self._config, self._module = config, module or shell
        #: The shell.
        self.shell = shell
        self._parameters = set(config.controls)
        #: Name of the bus of each of the unit's streams.
        self.buses = shell.buses
        layouts = config.streams
        forms = config.data_sheet.formats
        self._monitors = {
            name: StreamMonitor(layouts[name].lanes, least=forms[name].least,
                                most=forms[name].most if flow is In else None,
                                step=forms[name].step, keep="keep" in layouts[name].members)
            for name, flow in shell.flows.items()}
        self._inputs = [name for name, flow in shell.flows.items() if flow is In]
        # Of several outputs the last one is that of the results.
        self._output = [*layouts][-1]
        #: The register map.
        self.registers = unit_registers(config, shell, self._monitors, version, channels)
        self._slave = RegisterSlave(self.registers)
        fields = {name: member for name, member in self._slave.signature.members.items()
                  if name.startswith("dma_")}
        # Software's ways to clear errors are all inside.
        self._clears = [name for name in fields if name.endswith("_clear")]
        self._fields = [name for name in fields if name not in self._clears]
        #: Ports that connect the DMA channels.
        self.dma_ports = {name: fields[name] for name in self._fields}
        if channels:
            self.dma_ports |= {"control_reset": Out(1), "clear_counters": Out(1),
                               "draining": In(1), "written": In(1)}
        clocks = {"aclk": In(1), "aresetn": In(1)}
        streams = {name: member for name, member in shell.signature.members.items()
                   if name not in clocks and name not in self._parameters}
        signals = {**self._slave.signature.members, "awprot": In(3), "arprot": In(3)}
        super().__init__({**clocks, **{f"s_axi_{name}": signals[name] for name in CHANNELS},
                          "irq": Out(1), **streams, **self.dma_ports})
        self._annotate()

    @property
    def interfaces(self):
        """Names of the bus interfaces that tools are to find."""
        return ["s_axi", *self.buses.values()]

    def _annotate(self):
        """Add the attributes by which Vivado's IP packager groups ports."""
        buses = ":".join(self.interfaces)
        for name in self.signature.members:
            attributes = getattr(self, name).attrs
            if hasattr(self.shell, name):
                attributes.update(getattr(self.shell, name).attrs)
            if name.startswith("s_axi_"):
                signal = name.removeprefix("s_axi_").upper()
                attributes.update(X_INTERFACE_INFO=f"xilinx.com:interface:aximm:1.0 s_axi {signal}")
        self.s_axi_awaddr.attrs.update(
            X_INTERFACE_PARAMETER="PROTOCOL AXI4LITE, DATA_WIDTH 32")
        self.aclk.attrs.update(
            X_INTERFACE_PARAMETER=f"ASSOCIATED_BUSIF {buses}, ASSOCIATED_RESET aresetn")
        self.irq.attrs.update(X_INTERFACE_INFO="xilinx.com:signal:interrupt:1.0 irq INTERRUPT",
                              X_INTERFACE_PARAMETER="SENSITIVITY LEVEL_HIGH")

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(local=True)
        reset = Signal(init=1, reset_less=True)
        m.d.sync += reset.eq(~self.aresetn)
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(reset)]
        m.submodules.registers = registers = self._slave
        for name in registers.signals:
            inner, outer = getattr(registers, name), getattr(self, f"s_axi_{name}")
            if registers.signature.members[name].flow is In:
                m.d.comb += inner.eq(outer)
            else:
                # Handshakes are low in reset.
                handshake = name.endswith(("valid", "ready"))
                m.d.comb += outer.eq(inner & ~reset if handshake else inner)

        held = 0
        if self.dma_ports:
            held = self.draining
            m.d.comb += [self.control_reset.eq(registers.control_reset),
                         self.clear_counters.eq(registers.control_clear_counters),
                         registers.status_draining.eq(self.draining | registers.control_reset)]
            m.d.comb += [getattr(registers, name).eq(registers.control_clear_errors)
                         for name in self._clears]
        for name in self._fields:
            ends = getattr(registers, name), getattr(self, name)
            flow = self.signature.members[name].flow
            m.d.comb += ends[0].eq(ends[1]) if flow is In else ends[1].eq(ends[0])

        # Amaranth has no clock domain within another one of the same name.
        unit = self._module
        m.submodules.unit = DomainRenamer("unit")(unit)
        m.d.comb += [unit.aclk.eq(self.aclk),
                     unit.aresetn.eq(self.aresetn & ~registers.control_reset & ~held)]
        for name, member in self.shell.signature.members.items():
            if name == CLEAR and self._config.causes:
                m.d.comb += unit.clear.eq(registers.control_clear_errors)
            elif name in self._parameters:
                m.d.comb += getattr(unit, name).eq(getattr(registers, f"{name}_value"))
            elif name not in ("aclk", "aresetn"):
                ends = getattr(unit, name), getattr(self, name)
                m.d.comb += ends[0].eq(ends[1]) if member.flow is In else ends[1].eq(ends[0])
                if name in self.shell.plain and member.flow is Out:
                    m.d.comb += getattr(registers, f"{name}_value").eq(ends[0])
        if self._config.data_sheet.row:
            self._rows(m, registers)
        # The unit is in reset a cycle after the pulse.
        forget = Signal()
        m.d.sync += forget.eq(registers.control_reset)
        self._watch(m, registers, forget)
        self._events(m, registers)
        self._status(m, registers, forget)
        return m

    def _rows(self, m, registers):
        """Connect the parameters of the rows: the upper bits of TUSER."""
        layout, bus = self._config.streams[self._config.source], self.buses[self._config.source]
        m.submodules.rows = rows = RowParameters(layout["row"].shape)
        outer, inner = (getattr(end, f"{bus}_tuser") for end in (self, self._module))
        m.d.comb += [
            rows.user.eq(outer[layout["mask"].width:]), rows.registers.eq(registers.row_registers),
            rows.apply.eq(registers.row_apply), inner[layout["mask"].width:].eq(rows.o),
            *(getattr(rows, f"{name}_value").eq(getattr(registers, f"row_{name}_value"))
              for name in self._config.data_sheet.row)]

    def _watch(self, m, registers, forget):
        """Connect the monitors of the streams, and their counters."""
        for name, monitor in self._monitors.items():
            m.submodules[f"monitor_{name}"] = monitor
            tkeep = self._of_bus(name, "tkeep")
            size = 1 if tkeep is None else len(tkeep) // monitor.lanes
            kept = Const(-1, monitor.lanes) if tkeep is None else \
                Cat(tkeep[k * size] for k in range(monitor.lanes))
            m.d.comb += [
                monitor.transfer.eq(self._of_bus(name, "tvalid") & self._of_bus(name, "tready")),
                monitor.kept.eq(kept), monitor.last.eq(self._of_bus(name, "tlast")),
                monitor.clear.eq(registers.control_clear_counters), monitor.forget.eq(forget),
                getattr(registers, f"{name}_packets_count").eq(monitor.packets),
                getattr(registers, f"{name}_beats_count").eq(monitor.beats),
            ]

    def _events(self, m, registers):
        """Set the bits of errors and of the interrupt."""
        before = Signal()
        m.d.sync += before.eq(self.error)
        found = {"unit": self.error & ~before}
        if causes := self._config.causes:
            known = Signal.like(self.causes)
            m.d.sync += known.eq(self.causes)
            found |= {f"unit_{name.lower()}": bit & ~old for name, bit, old in
                      zip(causes, self.causes, known, strict=True)}
        for name, check, field in checks(self._inputs, self._monitors):
            found[field.lower()] = getattr(self._monitors[name], check)
        for name in self._config.data_sheet.marks:
            found[f"{name}_marked"] = self._of_bus(name, "tuser")[0] & self._monitors[name].transfer
        for field, pulse in found.items():
            m.d.comb += [getattr(registers, f"errors_{field}_set").eq(pulse),
                         getattr(registers, f"errors_{field}_clear").eq(
                             registers.control_clear_errors)]
        output = self._monitors[self._output]
        events = [field.name.lower() for field in self.registers["IRQ_PENDING"].fields]
        pending = Cat(getattr(registers, f"irq_pending_{event}") for event in events)
        enabled = Cat(getattr(registers, f"irq_enable_{event}") for event in events)
        faults = [*found.values(), *(getattr(self, name) for name in self._fields
                                     if name.endswith("_set"))]
        if self.dma_ports:
            m.d.comb += registers.irq_pending_written_set.eq(self.written)
        m.d.comb += [
            registers.irq_pending_output_set.eq(output.ended),
            registers.irq_pending_error_set.eq(Cat(faults).any()),
            self.irq.eq((pending & enabled).any()),
        ]

    def _status(self, m, registers, forget):
        """Drive the register STATUS."""
        source, output = self._monitors[self._config.source], self._monitors[self._output]
        # Packets that the unit has taken and not given. A row that is cut leaves before it ends.
        held = Signal(HELD_BITS)
        enters, leaves = self._entered(m, source, forget), output.transfer & output.last
        with m.If(enters & ~leaves):
            m.d.sync += held.eq(held + 1)
        with m.Elif(leaves & ~enters):
            m.d.sync += held.eq(held - 1)
        with m.If(forget):
            m.d.sync += held.eq(0)
        m.d.comb += [
            registers.status_busy.eq(held.any() | source.inside),
            registers.status_error.eq(self.error),
            registers.status_interrupt.eq(self.irq),
            registers.status_output_stalled.eq(self._stalled(self._output)),
        ]
        for name in self._inputs:
            m.d.comb += [
                getattr(registers, f"status_{name}_open").eq(self._monitors[name].inside),
                getattr(registers, f"status_{name}_stalled").eq(self._stalled(name)),
            ]

    def _entered(self, m, source, forget):
        """Whether all that becomes one packet of the output has been taken with this beat."""
        if not self._config.packet_elements:
            return source.transfer & source.last
        beats = self._config.packet_elements // source.lanes
        count, whole = Signal(range(beats)), Signal()
        m.d.comb += whole.eq(source.transfer & (count == beats - 1))
        with m.If(source.transfer):
            m.d.sync += count.eq(Mux(source.last | whole, 0, count + 1))
        with m.If(forget):
            m.d.sync += count.eq(0)
        return whole

    def _stalled(self, stream):
        return self._of_bus(stream, "tvalid") & ~self._of_bus(stream, "tready")

    def _of_bus(self, stream, signal):
        """Signal of a stream's bus, or None if it has none."""
        return getattr(self, f"{self.shell.buses[stream]}_{signal}", None)
