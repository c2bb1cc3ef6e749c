"""AXI4-Stream shell: a unit behind ports that FPGA tools recognise by themselves."""

from amaranth import Cat, ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..register_slice import RegisterSlice
from ..stream import BeatLayout


__all__ = ["AxiStream", "element_bytes"]


def element_bytes(shape):
    """Bytes that an element takes in TDATA: 1, 2 or 4."""
    for size in (1, 2, 4):
        if shape.width <= 8 * size:
            return size
    raise ValueError(f"Element must be at most 32 bits wide, not {shape.width}")


class AxiStream(wiring.Component):
    """A unit with one AXI4-Stream slave and one AXI4-Stream master.

    The shell has no logic of its own but the register slices; it slices, pads and renames.

    * TDATA: element k is in bytes ``k * size`` onwards, lowest byte first, where ``size`` is 1, 2
      or 4 (:func:`element_bytes`). The slave ignores the bits above the element; the master fills
      them with its sign if elements are signed, with zeros if not.
    * TKEEP: the slave takes lane k as kept if the lane's lowest byte is; the master keeps all
      bytes of a lane or none. All ones except in a row's last beat, where the low lanes are kept,
      one at least.
    * TUSER (slave only, and only if the unit takes a mask): bit k masks lane k.
    * TLAST ends a row, and is always there.

    The unit's ``o.ready`` may reach its ``i.ready`` combinationally, so that a chain of units would
    be one long path against the flow. ``output_slice`` is on by default because it is the cheapest
    cut: with it no path leads from a port of the master to a port of the slave. ``input_slice``
    registers ``s_axis_tready`` and all inputs as well, for a slow or distant source. Each adds a
    cycle of latency and two registers per payload bit; neither costs throughput.

    Reset is synchronous. ``m_axis_tvalid`` is low from the first clock edge in reset on; after the
    device is configured it is low without one.

    Parameters
    ----------
    core : Component
        The unit: streams ``i`` and ``o`` of :class:`~rtl.stream.BeatLayout`, and ``error``.
    input_slice : bool
        Whether a register slice stands before the unit.
    output_slice : bool
        Whether a register slice stands after the unit.

    Members
    -------
    aclk, aresetn : In(1)
        Clock, and active-low synchronous reset.
    s_axis_tdata, s_axis_tkeep, s_axis_tuser, s_axis_tlast, s_axis_tvalid : In
        Rows in. ``s_axis_tready`` goes the other way.
    m_axis_tdata, m_axis_tkeep, m_axis_tlast, m_axis_tvalid : Out
        Rows out. ``m_axis_tready`` goes the other way.
    error : Out(1)
        The unit's sticky ``error``.
    """

    def __init__(self, core, *, input_slice=False, output_slice=True):
        self._core = core
        self._slices = {"i": input_slice, "o": output_slice}
        source, sink = (_beat(core, port) for port in ("i", "o"))
        self._masked = "mask" in source.members
        super().__init__({
            "aclk": In(1),
            "aresetn": In(1),
            **_members("s_axis", In, source, self._masked),
            **_members("m_axis", Out, sink, False),
            "error": Out(1),
        })
        self._annotate()

    def _annotate(self):
        """Attributes by which Vivado's IP packager groups the ports."""
        self.aclk.attrs.update(
            X_INTERFACE_INFO="xilinx.com:signal:clock:1.0 aclk CLK",
            X_INTERFACE_PARAMETER="ASSOCIATED_BUSIF s_axis:m_axis, ASSOCIATED_RESET aresetn")
        self.aresetn.attrs.update(
            X_INTERFACE_INFO="xilinx.com:signal:reset:1.0 aresetn RST",
            X_INTERFACE_PARAMETER="POLARITY ACTIVE_LOW")
        for name in self.signature.members:
            bus, _, signal = name.rpartition("_")
            if bus in ("s_axis", "m_axis"):
                getattr(self, name).attrs["X_INTERFACE_INFO"] = \
                    f"xilinx.com:interface:axis:1.0 {bus} {signal.upper()}"

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(local=True)
        m.d.comb += [
            ClockSignal().eq(self.aclk),
            ResetSignal().eq(~self.aresetn),
            self.error.eq(self._core.error),
        ]
        m.submodules.core = self._core
        i, o = self._core.i, self._core.o
        if self._slices["i"]:
            m.submodules.input_slice = stage = RegisterSlice(i.payload.shape())
            wiring.connect(m, stage.o, i)
            i = stage.i
        if self._slices["o"]:
            m.submodules.output_slice = stage = RegisterSlice(o.payload.shape())
            wiring.connect(m, o, stage.i)
            o = stage.o

        layout = i.payload.shape()
        size = element_bytes(layout.element)
        for k in range(layout.lanes):
            m.d.comb += [
                i.p.data[k].eq(self.s_axis_tdata.word_select(k, 8 * size)),
                i.p.keep[k].eq(self.s_axis_tkeep[k * size]),
            ]
        if self._masked:
            m.d.comb += i.p.mask.eq(self.s_axis_tuser)
        m.d.comb += [
            i.p.last.eq(self.s_axis_tlast),
            i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(i.ready),
        ]

        layout = o.payload.shape()
        size = element_bytes(layout.element)
        for k in range(layout.lanes):
            m.d.comb += self.m_axis_tdata.word_select(k, 8 * size).eq(o.p.data[k])
        m.d.comb += [
            self.m_axis_tkeep.eq(Cat(keep.replicate(size) for keep in o.p.keep)),
            self.m_axis_tlast.eq(o.p.last),
            self.m_axis_tvalid.eq(o.valid),
            o.ready.eq(self.m_axis_tready),
        ]
        return m


def _beat(core, port):
    """Layout of the beats of one of a unit's streams."""
    layout = getattr(getattr(core, port, None), "payload", None)
    layout = layout.shape() if hasattr(layout, "shape") else layout
    if not isinstance(layout, BeatLayout):
        raise TypeError(f"Core must have a stream {port!r} of beats, not {layout!r}")
    return layout


def _members(bus, flow, layout, masked):
    """Ports of one bus; ``flow`` is the direction of the data."""
    size = layout.lanes * element_bytes(layout.element)
    members = {f"{bus}_tdata": flow(8 * size), f"{bus}_tkeep": flow(size)}
    if masked:
        members[f"{bus}_tuser"] = flow(layout.lanes)
    return {**members, f"{bus}_tlast": flow(1), f"{bus}_tvalid": flow(1),
            f"{bus}_tready": flow.flip()(1)}
