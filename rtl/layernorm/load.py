"""Parameters of the channels that are loaded at run time: their beats, and what takes them."""

from amaranth import Module, Mux, Shape, Signal, unsigned
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
    ignored. Its bank is that of the rows that begin after its last beat; a row keeps its bank to
    its end. The next load goes to the other bank, and is taken while no row that has begun needs
    that: two loads without a row in between are taken back to back.

    Throughput one beat per cycle. The bank in use survives reset, a load that is under way does
    not.

    Parameters
    ----------
    layout : LoadLayout
        Layout of a beat.
    max_beats : int
        Beats of a load.
    max_rows : int
        Upper bound of the rows that have begun and that the second pass has not read to the end.

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
    done : In(1)
        Pulses when the second pass reads a row's last beat.
    done_bank : In(1)
        Bank of that row.
    write : Out(1)
        ``load`` is to be written.
    write_bank : Out(1)
        Bank to write to.
    write_index : Out(range(max_beats))
        Number of the beat.
    error : Out(1)
        A load had the wrong number of beats. Sticky.
    """

    def __init__(self, layout, max_beats, max_rows):
        self.max_beats = max_beats
        self.max_rows = max_rows
        super().__init__({
            "load": In(layout), "load_valid": In(1), "load_ready": Out(1),
            "begin": In(1), "bank": Out(1), "done": In(1), "done_bank": In(1),
            "write": Out(1), "write_bank": Out(1), "write_index": Out(range(max(max_beats, 2))),
            "error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # Bank of the rows to come, and of the row that is entering.
        active = Signal(reset_less=True)
        entering = Signal()
        ignoring = Signal()
        final = Signal()
        m.d.comb += [
            self.load_ready.eq(Mux(active, *(self._free(m, bank) for bank in (0, 1)))),
            self.write.eq(self.load_valid & self.load_ready),
            self.write_bank.eq(~active),
            self.bank.eq(Mux(self.begin, active, entering)),
            final.eq(self.write_index == self.max_beats - 1),
        ]
        m.d.sync += entering.eq(self.bank)
        with m.If(self.write):
            m.d.sync += self.write_index.eq(self.write_index + 1)
            with m.If(self.load.last | final):
                m.d.sync += self.write_index.eq(0)
            with m.If(self.load.last):
                m.d.sync += ignoring.eq(0)
            with m.Elif(final):
                m.d.sync += ignoring.eq(1)
            with m.If(self.load.last & final & ~ignoring):
                m.d.sync += active.eq(~active)
            with m.Elif(self.load.last != final):
                m.d.sync += self.error.eq(1)
        return m

    def _free(self, m, bank):
        """Whether no row that has begun needs a bank."""
        rows = Signal(range(self.max_rows + 1), name=f"rows_of_{bank}")
        begins = Signal(name=f"begins_{bank}")
        done = Signal(name=f"done_{bank}")
        m.d.comb += [begins.eq(self.begin & (self.bank == bank)),
                     done.eq(self.done & (self.done_bank == bank))]
        with m.If(begins & ~done):
            m.d.sync += rows.eq(rows + 1)
        with m.Elif(done & ~begins):
            m.d.sync += rows.eq(rows - 1)
        return ~rows.any()
