"""Stream handshake of a unit that processes rows."""

from amaranth import EnableInserter, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .row_input import RowInput

__all__ = ["RowDatapath", "RowUnit"]


class RowDatapath(wiring.Component):
    """Base of the datapaths that :class:`RowUnit` drives: pipelines without handshake.

    Latency ``config.latency`` cycles from a row's last beat to its first beat on ``o``, throughput
    one beat per cycle; stalls only by its clock enable.

    Parameters
    ----------
    config : UnitConfig
        Configuration, with ``input_layout``, ``output_layout`` and ``lanes``.
    ports : Member
        Further members of a datapath, by name.

    Members
    -------
    data : In(ArrayLayout(element, lanes))
        Elements of a beat.
    live : In(lanes)
        Bit k set: the element of lane k takes part.
    kept : In(lanes)
        Bit k set: lane k carries an element.
    valid : In(1)
        The inputs hold a beat.
    first : In(1)
        The beat is the first of its row.
    end : In(1)
        The beat is the last of its row.
    row : In(config.input_layout["row"].shape)
        Parameters of the row, with its first beat; absent where rows have none.
    o : Out(config.output_layout)
        Output beat.
    o_valid : Out(1)
        ``o`` holds a beat.
    leaving : Out(1)
        Pulses when a row frees its slot: its beats and words have left all stores and FIFOs.
    """

    def __init__(self, config, **ports):
        self.config = config
        layout = config.input_layout
        if "row" in layout.members:
            ports = {"row": In(layout["row"].shape), **ports}
        super().__init__({
            "data": In(layout["data"].shape),
            "live": In(config.lanes),
            "kept": In(config.lanes),
            "valid": In(1),
            "first": In(1),
            "end": In(1),
            "o": Out(config.output_layout),
            "o_valid": Out(1),
            "leaving": Out(1),
            **ports,
        })


class RowUnit(wiring.Component):
    """A datapath behind ready/valid streams.

    Back-pressure stalls the whole datapath: its clock enable is ``o.ready | ~o.valid``. ``i.ready``
    follows ``o.ready`` combinationally; ``o.valid`` and ``o.payload`` come from registers. The
    input stalls while ``config.max_rows`` rows are inside, if that is not 0, and, with a
    ``config.row_interval`` above 1, at the end of a row of fewer beats until the unit is empty.

    Latency ``config.latency`` cycles from a row's last beat accepted to its first beat valid, if
    the output is idle; throughput one beat per cycle. Reset empties the unit.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    datapath : RowDatapath
        Datapath to drive.
    ports : Member
        Further members of a unit, by name.

    Members
    -------
    i : In(stream.Signature(config.input_layout))
        Rows in.
    o : Out(stream.Signature(config.output_layout))
        Rows out.
    error : Out(1)
        A row was too long, too short, or its ``keep`` malformed. Sticky until reset.
    """

    def __init__(self, config, datapath, **ports):
        self.config = config
        self.datapath = datapath
        super().__init__({
            "i": In(stream.Signature(config.input_layout)),
            "o": Out(stream.Signature(config.output_layout)),
            "error": Out(1),
            **ports,
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        enable = Signal()
        full = Signal()
        datapath = self.datapath
        m.submodules.datapath = EnableInserter(enable)(datapath)
        waiting = config.row_interval > 1
        m.submodules.rows = rows = RowInput(
            config.lanes, config.max_length, least_length=getattr(config, "least_length", 1))
        wait = Signal()

        m.d.comb += [
            enable.eq(self.o.ready | ~self.o.valid),
            self.i.ready.eq(enable & ~full & ~wait),
            rows.transfer.eq(self.i.valid & self.i.ready),
            rows.keep.eq(self.i.payload.keep),
            rows.last.eq(self.i.payload.last),
            self.error.eq(rows.error),
            datapath.data.eq(self.i.payload.data),
            datapath.kept.eq(rows.kept),
            datapath.live.eq(rows.kept),
            datapath.valid.eq(rows.valid),
            datapath.first.eq(rows.first),
            datapath.end.eq(rows.end),
            self.o.payload.eq(datapath.o),
            self.o.valid.eq(datapath.o_valid),
        ]
        if "mask" in config.input_layout.members:
            m.d.comb += datapath.live.eq(rows.kept & ~self.i.payload.mask)
        if "row" in config.input_layout.members:
            m.d.comb += datapath.row.eq(self.i.payload.row)

        bounded = config.max_rows == config.most_rows
        if waiting or bounded:
            # The counters wrap at twice the rows inside or more, so their difference is
            # unambiguous.
            entered = Signal(range(2 << (config.most_rows - 1).bit_length()))
            left = Signal.like(entered)
            enters = Signal()
            leaves = Signal()
            m.d.comb += [enters.eq(rows.valid & rows.end), leaves.eq(datapath.leaving & enable)]
            with m.If(enters):
                m.d.sync += entered.eq(entered + 1)
            with m.If(leaves):
                m.d.sync += left.eq(left + 1)
        if bounded:
            # `full` is registered, one row ahead, which keeps the counters out of the handshake.
            with m.If(enters & ~leaves):
                m.d.sync += full.eq((entered - left)[:len(entered)] == config.max_rows - 1)
            with m.Elif(leaves & ~enters):
                m.d.sync += full.eq(0)
        if waiting:
            # Beats of the row so far, saturating at one less than the interval.
            beats = Signal(range(config.row_interval))
            enough = config.row_interval - 1
            # `rows.end` is meaningful only while the input is valid.
            m.d.comb += wait.eq(self.i.valid & rows.end & (beats != enough) & (entered != left))
            with m.If(enters):
                m.d.sync += beats.eq(0)
            with m.Elif(rows.valid & (beats != enough)):
                m.d.sync += beats.eq(beats + 1)
        return m
