"""AXI4-Stream shell: a unit behind ports that FPGA tools infer as bus interfaces."""

from amaranth import Cat, ClockDomain, ClockSignal, Module, ResetSignal, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.register_slice import RegisterSlice

__all__ = ["AxiStream", "bus_name", "element_bytes"]


# Members of a beat that TUSER carries, lowest bits first.
_USER = "mask", "row", "use"


def element_bytes(shape):
    """Bytes of an element of ``shape`` in TDATA: 1, 2 or 4."""
    for size in (1, 2, 4):
        if shape.width <= 8 * size:
            return size
    raise ValueError(f"Element must be at most 32 bits wide, not {shape.width}")


class AxiStream(wiring.Component):
    """A unit with AXI4-Stream slaves and masters.

    The slave of the stream ``i`` is ``s_axis``, the master of ``o`` is ``m_axis``; those of any
    other stream ``q`` are ``s_axis_q`` and ``m_axis_q``. The shell adds no logic but register
    slices: it slices, pads and renames.

    * TDATA: element k is in bytes ``k * size`` onwards, lowest byte first, where ``size`` is 1, 2
      or 4 (:func:`element_bytes`). The slave ignores the bits above the element; the master fills
      them with its sign if elements are signed, with zeros if not.
    * TKEEP (if the unit's beats have ``keep``): the slave keeps lane k if the lane's lowest byte is
      kept; the master keeps all bytes of a lane or none. All ones except in a row's last beat,
      where the low lanes are kept, one at least. Without TKEEP all bytes of a beat are used.
    * TUSER (if the unit's beats have ``mask`` or ``use``): ``mask``, with bit k for lane k or one
      bit for the vector that the beat belongs to, and above it, if the beats have ``row``, the
      parameters of the row, which count in its first beat; or ``use``, a word that says what the
      packet is for, or at a master what the vector is.
    * TLAST ends a row, and is always present.

    Within the unit, a master's ``ready`` may reach a slave's combinationally, so chained units
    would form one long path. ``output_slice`` is on by default, as the cheapest cut: with it no
    path leads from a port of the master to a port of the slave. ``input_slice`` registers
    ``s_axis_tready`` and all inputs as well, for a slow or distant source. Each slice adds a cycle
    of latency and two registers per payload bit; neither costs throughput.

    Latency that of the unit, plus one cycle per slice; throughput one beat per cycle.

    Reset is synchronous, and registered in the shell: the unit is reset a cycle after ``aresetn``
    was sampled low. From that sample to the cycle after ``aresetn`` is sampled high again
    ``s_axis_tready``, ``m_axis_tvalid`` and ``error`` are low, so that nothing is lost or repeated;
    one cycle of reset is enough. After the device is configured the unit starts without one.

    Parameters
    ----------
    core : Component
        The unit: ``error``, and streams of beats with ``data`` (an array of elements), ``last``,
        and optionally ``keep`` and ``mask`` or ``use``.
    input_slice : bool
        Whether each slave has a register slice.
    output_slice : bool
        Whether each master has a register slice.

    Members
    -------
    aclk : In(1)
        Clock.
    aresetn : In(1)
        Synchronous reset, active low.
    s_axis_tdata : In(8 * size * lanes)
        Elements of a beat.
    s_axis_tkeep : In(size * lanes)
        Bytes kept.
    s_axis_tuser : In(len(mask) + len(row)) or In(len(use))
        Mask, with the row's parameters above it; or use.
    s_axis_tlast : In(1)
        The beat ends its row.
    s_axis_tvalid : In(1)
        A beat is offered.
    s_axis_tready : Out(1)
        The beat is taken, if offered.
    m_axis_tdata : Out(8 * size * lanes)
        Elements of a beat.
    m_axis_tkeep : Out(size * lanes)
        Bytes kept.
    m_axis_tuser : Out(len(use))
        Use.
    m_axis_tlast : Out(1)
        The beat ends its row.
    m_axis_tvalid : Out(1)
        A beat is offered.
    m_axis_tready : In(1)
        The beat is taken, if offered.
    error : Out(1)
        The unit's sticky ``error``.
    <name> : In(shape) or Out(shape)
        Any other port of the unit that is no stream, under its own name.
    """

    def __init__(self, core, *, input_slice=False, output_slice=True):
        self._core = core
        self._slices = {In: input_slice, Out: output_slice}
        ports = _ports(core)
        layouts = {port: _beat(core, port) for port in ports}
        #: Name of the bus of each of the unit's streams.
        self.buses = {port: bus_name(port, flow) for port, flow in ports.items()}
        #: Direction of each of the unit's streams.
        self.flows = ports
        members = {}
        for port, flow in ports.items():
            members |= _members(self.buses[port], flow, layouts[port])
        #: Members of the unit that are neither streams nor its ``error``.
        self.plain = _plain(core)
        super().__init__({"aclk": In(1), "aresetn": In(1), **members, **self.plain,
                          "error": Out(1)})
        self._annotate()

    @property
    def interfaces(self):
        """Names of the bus interfaces that tools are to find."""
        return [*self.buses.values()]

    def _annotate(self):
        """Add the attributes by which Vivado's IP packager groups ports."""
        self.aclk.attrs.update(
            X_INTERFACE_INFO="xilinx.com:signal:clock:1.0 aclk CLK",
            X_INTERFACE_PARAMETER=f"ASSOCIATED_BUSIF {':'.join(self.buses.values())}, "
                                  "ASSOCIATED_RESET aresetn")
        self.aresetn.attrs.update(
            X_INTERFACE_INFO="xilinx.com:signal:reset:1.0 aresetn RST",
            X_INTERFACE_PARAMETER="POLARITY ACTIVE_LOW")
        for name in self.signature.members:
            bus, _, signal = name.rpartition("_")
            if bus in self.buses.values():
                getattr(self, name).attrs["X_INTERFACE_INFO"] = \
                    f"xilinx.com:interface:axis:1.0 {bus} {signal.upper()}"

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(local=True)
        # From a register: synthesis else puts an inverter before each flip-flop that is reset.
        reset = Signal(init=1, reset_less=True)
        m.d.sync += reset.eq(~self.aresetn)
        m.d.comb += [
            ClockSignal().eq(self.aclk),
            ResetSignal().eq(reset),
            self.error.eq(self._core.error & ~reset),
        ]
        m.submodules.core = self._core
        for name, member in self.plain.items():
            ends = getattr(self._core, name), getattr(self, name)
            m.d.comb += ends[0].eq(ends[1]) if member.flow is In else ends[1].eq(ends[0])
        for port, flow in self.flows.items():
            inner = getattr(self._core, port)
            if self._slices[flow]:
                stage = RegisterSlice(inner.payload.shape())
                side = "input_slice" if flow is In else "output_slice"
                m.submodules[side if port in ("i", "o") else f"{side}_{port}"] = stage
                if flow is In:
                    wiring.connect(m, stage.o, inner)
                    inner = stage.i
                else:
                    wiring.connect(m, inner, stage.i)
                    inner = stage.o
            (self._slave if flow is In else self._master)(m, self.buses[port], inner, reset)
        return m

    def _slave(self, m, bus, i, reset):
        """Connect the ports of a slave to the stream that it feeds."""
        tdata, tkeep, tuser, tlast, tvalid, tready = self._signals(bus)
        layout = i.payload.shape()
        size = element_bytes(layout.element)
        for k in range(layout.lanes):
            m.d.comb += i.p.data[k].eq(tdata.word_select(k, 8 * size))
        if tkeep is not None:
            m.d.comb += [i.p.keep[k].eq(tkeep[k * size]) for k in range(layout.lanes)]
        if tuser is not None:
            fields = [Value.cast(i.p[name]) for name in _USER if name in layout.members]
            m.d.comb += Cat(fields).eq(tuser)
        m.d.comb += [i.p.last.eq(tlast), i.valid.eq(tvalid), tready.eq(i.ready & ~reset)]

    def _master(self, m, bus, o, reset):
        """Connect the ports of a master to the stream that feeds it."""
        tdata, tkeep, tuser, tlast, tvalid, tready = self._signals(bus)
        layout = o.payload.shape()
        size = element_bytes(layout.element)
        for k in range(layout.lanes):
            m.d.comb += tdata.word_select(k, 8 * size).eq(o.p.data[k])
        if tkeep is not None:
            m.d.comb += tkeep.eq(Cat(keep.replicate(size) for keep in o.p.keep))
        if tuser is not None:
            m.d.comb += tuser.eq(Value.cast(o.p.use))
        m.d.comb += [tlast.eq(o.p.last), tvalid.eq(o.valid & ~reset), o.ready.eq(tready)]

    def _signals(self, bus):
        return [getattr(self, f"{bus}_{name}", None)
                for name in ("tdata", "tkeep", "tuser", "tlast", "tvalid", "tready")]


def _ports(core):
    """Names of a unit's streams, with the direction of each; ``i`` and ``o`` if it has none."""
    ports = {name: member.flow for name, member in core.signature.members.items()
             if member.is_signature and isinstance(member.signature, stream.Signature)}
    return ports or {"i": In, "o": Out}


def _plain(core):
    """Members of a unit that are neither streams nor its ``error``, by name."""
    return {name: member for name, member in core.signature.members.items()
            if member.is_port and name != "error"}


def bus_name(port, flow):
    """Name of a stream's bus: ``s_axis`` for ``i``, ``m_axis`` for ``o``."""
    side, usual = ("s_axis", "i") if flow is In else ("m_axis", "o")
    return side if port == usual else f"{side}_{port}"


def _beat(core, port):
    """Layout of the beats of one of a unit's streams."""
    layout = getattr(getattr(core, port, None), "payload", None)
    layout = layout.shape() if hasattr(layout, "shape") else layout
    if not {"data", "last"} <= set(getattr(layout, "members", ())):
        raise TypeError(f"Core must have a stream {port!r} of beats, not {layout!r}")
    return layout


def _members(bus, flow, layout):
    """Ports of one bus; ``flow`` is the direction of the data."""
    size = layout.lanes * element_bytes(layout.element)
    members = {f"{bus}_tdata": flow(8 * size)}
    if "keep" in layout.members:
        members[f"{bus}_tkeep"] = flow(size)
    if user := sum(layout[name].width for name in _USER if name in layout.members):
        members[f"{bus}_tuser"] = flow(user)
    return {**members, f"{bus}_tlast": flow(1), f"{bus}_tvalid": flow(1),
            f"{bus}_tready": flow.flip()(1)}
