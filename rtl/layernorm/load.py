"""Parameters of the channels that are loaded at run time: their beats, and what takes them."""

from amaranth import Module, Shape, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LoadLayout", "Loader"]


class LoadLayout(data.StructLayout):
    """Parameters of as many channels as a beat of a row has lanes.

    Parameters
    ----------
    fields : dict of str to ShapeLike
        Parameters of a channel, lowest bits of its element first: ``gamma``, and ``beta`` and
        ``alpha`` where there are such.
    lanes : int
        Channels per beat.

    Members
    -------
    data : ArrayLayout(element, lanes)
        Parameters of each channel; lane 0 is the first one. Lanes beyond the last channel are
        ignored.
    last : unsigned(1)
        The beat is that of the last channels.
    """

    def __init__(self, fields, lanes):
        self.channel = data.StructLayout(fields)
        self.element = unsigned(self.channel.size)
        self.lanes = lanes
        super().__init__({"data": data.ArrayLayout(self.element, lanes), "last": unsigned(1)})

    def parameter(self, beat, name, lane):
        """Parameter ``name`` of the channel of lane ``lane``, from a beat."""
        return data.View(self.channel, beat.data[lane])[name]

    def pack(self, **values):
        """Element of a channel, from its parameters."""
        element = 0
        for name, field in self.channel:
            shape = Shape.cast(field.shape)
            element |= (values[name] & ((1 << shape.width) - 1)) << field.offset
        return element


class Loader(wiring.Component):
    """Takes loads into one of two banks while the rows use the other one.

    A load is ``max_beats`` beats, the last one with ``last``; one of another number of beats is
    ignored. A whole load waits for the next row, which begins to use its bank; the other bank is
    busy until the first beat of that row is read in the second pass.

    Throughput one beat per cycle while no load waits and no bank is busy. The bank in use survives
    reset; a load that is under way or waits does not.

    Parameters
    ----------
    layout : LoadLayout
        Layout of a beat.
    max_beats : int
        Beats of a load.

    Members
    -------
    load : In(layout)
        Beat of a load.
    load_valid : In(1)
        ``load`` holds a beat.
    load_ready : Out(1)
        The beat is taken.
    begin : In(1)
        Pulses when a row's first beat enters.
    bank : Out(1)
        Bank of the row whose beat enters.
    reading : In(1)
        The second pass reads a beat.
    read_bank : In(1)
        Bank of that beat's row.
    write : Out(1)
        ``load`` is to be written.
    write_bank : Out(1)
        Bank to write to.
    write_index : Out(range(max_beats))
        Number of the beat.
    error : Out(1)
        A load had the wrong number of beats. Sticky.
    """

    def __init__(self, layout, max_beats):
        self.max_beats = max_beats
        super().__init__({
            "load": In(layout), "load_valid": In(1), "load_ready": Out(1),
            "begin": In(1), "bank": Out(1), "reading": In(1), "read_bank": In(1),
            "write": Out(1), "write_bank": Out(1), "write_index": Out(range(max(max_beats, 2))),
            "error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        active = Signal(reset_less=True)
        waiting, busy = Signal(), Signal()
        ignoring = Signal()
        final = Signal()
        m.d.comb += [
            self.load_ready.eq(~waiting & ~busy),
            self.write.eq(self.load_valid & self.load_ready),
            self.write_bank.eq(~active),
            self.bank.eq(active ^ (self.begin & waiting)),
            final.eq(self.write_index == self.max_beats - 1),
        ]
        with m.If(self.reading & (self.read_bank == active)):
            m.d.sync += busy.eq(0)
        with m.If(self.begin & waiting):
            m.d.sync += [active.eq(~active), waiting.eq(0), busy.eq(1)]
        with m.If(self.write):
            m.d.sync += self.write_index.eq(self.write_index + 1)
            with m.If(self.load.last | final):
                m.d.sync += self.write_index.eq(0)
            with m.If(self.load.last):
                m.d.sync += ignoring.eq(0)
            with m.Elif(final):
                m.d.sync += ignoring.eq(1)
            with m.If(self.load.last & final & ~ignoring):
                m.d.sync += waiting.eq(1)
            with m.Elif(self.load.last != final):
                m.d.sync += self.error.eq(1)
        return m
