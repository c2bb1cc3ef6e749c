"""Hardware that all LayerNorm units share: two passes over a row, and the streams around them."""

from amaranth import Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from ..stream.row_store import RowStore
from ..stream.row_unit import RowDatapath, RowUnit
from ..stream.row_words import RowWord, RowWords
from .affine import Affine
from .channels import ChannelTable
from .elements import Elements
from .lengths import LengthTable
from .load import Loader
from .mean import Mean
from .reciprocal_root import ReciprocalRoot
from .row_value import RowValue
from .statistics import Statistics
from .timeline import Timeline

__all__ = ["Datapath", "LayerNorm"]


class LayerNorm(RowUnit):
    """LayerNorm unit; its config says what it computes.

    First pass: sums of the elements (stored) and of their squares, from them mean and reciprocal
    of the deviation. Second pass: two multiplications an element.

    Where the channels' parameters are loaded, a load is ``config.max_beats`` beats of ``load``, the
    last one with ``last``. The parameters hold from the first row on that begins after the load's
    last beat, as a whole; rows that have begun keep theirs. The next load is taken while no row
    that has begun needs the parameters that it replaces: at once if none has since the last load
    but one. ``load`` moves with the unit: nothing is taken from it while the output is stalled. A
    load of another number of beats is ignored and raises ``error``. Reset drops a load that is
    under way; the parameters of the last whole one stay.

    Members
    -------
    load : In(stream.Signature(config.load_layout))
        Parameters of the channels; if they are loaded. The other members are those of
        :class:`~rtl.stream.row_unit.RowUnit`.
    """

    def __init__(self, config):
        ports = {"load": In(stream.Signature(config.load_layout))} if config.loaded else {}
        super().__init__(config, Datapath(config), **ports)

    def elaborate(self, platform):
        m = super().elaborate(platform)
        if self.config.loaded:
            enable = self.o.ready | ~self.o.valid
            m.d.comb += [
                self.datapath.load.eq(self.load.payload),
                self.datapath.load_valid.eq(self.load.valid),
                self.load.ready.eq(enable & self.datapath.load_ready),
                self.error.eq(m.submodules.rows.error | self.datapath.load_error),
            ]
        return m


class Datapath(RowDatapath):
    """Both passes: the components of a method, and those that all methods share.

    Latency ``config.latency`` cycles, throughput one beat per cycle. Every value is handed on by a
    :class:`~rtl.layernorm.timeline.Timeline`; ``config.schedule`` has the stages.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration; ``config.method`` has the components of the method.

    Members
    -------
    load : In(config.load_layout)
        Beat of parameters; if they are loaded, as the ports below. The other members are those of
        :class:`~rtl.stream.row_unit.RowDatapath`.
    load_valid : In(1)
        ``load`` holds a beat.
    load_ready : Out(1)
        The beat is taken.
    load_error : Out(1)
        A load had the wrong number of beats. Sticky.
    """

    def __init__(self, config):
        ports = {"load": In(config.load_layout), "load_valid": In(1), "load_ready": Out(1),
                 "load_error": Out(1)} if config.loaded else {}
        super().__init__(config, **ports)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        if config.loaded:
            # Every row but the one that enters has its last beat in the pipeline or in the store.
            m.submodules.loader = Loader(config.load_layout, config.max_beats,
                                         config.max_beats + config.latency)
        line = Timeline(m)
        self._first_pass(m, line)
        read = self._read_rows(m, line)
        self._second_pass(m, read)
        if config.loaded:
            self._connect_loader(m, read)
        return m

    # First pass ---------------------------------------------------------------------------------

    def _first_pass(self, m, line):
        """Elements, sums, mean and reciprocal of the deviation."""
        config, at = self.config, self.config.schedule
        bank = m.submodules.loader.bank if config.loaded else None
        index = self._count(m, self.valid, self.end, "index")
        for name, value in (("valid", self.valid), ("first", self.first), ("raw", self.data),
                            ("end", self.valid & self.end), ("live", self.kept)):
            line.add(name, value, 0)
        if config.loaded:
            line.add("bank", bank, 0)
        line.add("alpha", self._alphas(m, index, bank), at.raw + 1)
        m.submodules.elements = elements = Elements(config)
        line.feed(elements, at.value)
        line.add("value", elements.o, at.value)

        m.submodules.statistics = statistics = Statistics(config)
        line.feed(statistics, at.squares)
        line.add("squares", statistics.squares, at.squares)
        if config.variable:
            m.submodules.lengths = lengths = LengthTable(config)
            m.d.comb += [lengths.kept.eq(self.kept), lengths.index.eq(index)]
            for name in lengths.o.shape().members:
                line.add(name, lengths.o[name], lengths.LATENCY)
        else:
            line.add("epsilon", Const(config.scales[config.channels].epsilon), at.total)
        if not config.rms:
            line.add("total", statistics.total, at.total)
            # Yosys packs the last names first: the mean's register then goes into the DSP block of
            # its own product, and not, as a copy, into that of the radicand.
            m.submodules.row_mean = mean = Mean(config)
            line.feed(mean, at.mean)
            line.add("mean", mean.o, at.mean)

        m.submodules.radicand = radicand = config.method.radicand(config)
        line.feed(radicand, at.radicand)
        line.add("radicand", radicand.o, at.radicand)
        m.submodules.root = root = ReciprocalRoot(config)
        line.feed(root, at.factor)
        line.add("factor", root.o, at.factor)

    def _alphas(self, m, index, bank):
        """Alphas of the beat ``index``, as late as the table is."""
        config = self.config
        if not config.alpha_bits:
            return Const(0, config.alpha_layout.size)
        m.submodules.alpha = table = ChannelTable(config.alpha_words)
        m.d.comb += table.index.eq(index)
        if config.loaded:
            m.d.comb += table.bank.eq(bank)
        width = config.alpha_layout.elem_shape.width
        return Cat(table.o.alpha[k][:width] for k in range(config.lanes))

    # Between the passes -------------------------------------------------------------------------

    def _read_rows(self, m, line):
        """Beats of complete rows, and mean and factor of theirs; stage 0 is that of the beat."""
        config, at = self.config, self.config.schedule
        members = {"value": config.value_layout, "keep": unsigned(config.lanes),
                   "last": unsigned(1)}
        if config.loaded:
            members["bank"] = unsigned(1)
        layout = data.StructLayout(members)
        words = self._words_of_rows(m) if config.variable else None
        m.submodules.store = store = RowStore(layout, config.max_beats, memory=config.memory,
                                              ages=words.ages if config.variable else 0)
        end = line.at("end", at.write)
        m.d.comb += [
            store.i.value.eq(line.at("value", at.write)),
            store.i.keep.eq(line.at("live", at.write)),
            store.i.last.eq(end),
            store.write.eq(line.at("valid", at.write)),
            store.last.eq(end),
        ]
        if config.loaded:
            # A row's first beat chooses for the others.
            m.d.comb += store.i.bank.eq(line.at("bank", at.write))

        first = Signal(init=1)
        # The last registers before a multiplier have no reset, so that they can move into it. One
        # behind a block RAM must stay where it is.
        beat = Signal(layout, reset_less=not config.rms)
        valid = Signal(name="read_valid")
        begins = Signal(name="read_first")
        with m.If(store.valid):
            m.d.sync += first.eq(store.o.last)
        m.d.sync += [beat.eq(store.o), valid.eq(store.valid), begins.eq(first)]

        read = Timeline(m, "read_")
        read.add("valid", valid, 0)
        for name in layout.members:
            read.add(name, beat[name], 0)
        starts = store.valid & first
        m.d.comb += self.leaving.eq(valid & begins)
        if config.variable:
            m.d.comb += [
                words.end.eq(store.write & end), words.row_i.eq(store.row_i),
                words.row_o.eq(store.row_o), words.first.eq(starts),
                words.factor_i.eq(line.at("factor", at.factor)),
            ]
            if words.ages:
                m.d.comb += words.age.eq(store.age)
            if not config.rms:
                m.d.comb += words.mean_i.eq(line.at("mean", max(at.mean, at.write)))
                read.add("mean", words.mean, 0)
            read.add("factor", words.factor, 1)
            return read
        if not config.rms:
            # The register must not be overwritten before the row before has been read.
            m.submodules.held_mean = held = RowValue(line.at("mean", at.mean).shape())
            m.d.comb += [held.i.eq(line.at("mean", at.read - 2)), held.pop.eq(starts),
                         held.push.eq(line.at("end", at.read - 2))]
            read.add("mean", held.o, 0)
        m.submodules.held_factor = held = RowValue(config.factor_width)
        m.d.comb += [held.i.eq(line.at("factor", at.factor)), held.pop.eq(valid & begins),
                     held.push.eq(line.at("end", at.factor))]
        read.add("factor", held.o, 1)
        return read

    def _words_of_rows(self, m):
        """Mean and factor of rows of any length, beside their store."""
        config, at = self.config, self.config.schedule
        words = {"factor": RowWord(config.factor_width, at.factor - at.write, late=True)}
        if not config.rms:
            words["mean"] = RowWord(signed(config.mean_width), max(at.mean - at.write, 0))
        m.submodules.words = words = RowWords(words, RowStore.depth_of(config.max_beats),
                                              memory=config.memory)
        return words

    # Second pass --------------------------------------------------------------------------------

    def _second_pass(self, m, read):
        """Normalisation, gamma and beta."""
        config = self.config
        m.submodules.channels = table = ChannelTable(config.affine_words)
        valid, last = read.at("valid", 0), read.at("last", 0)
        m.d.comb += table.index.eq(self._count(m, valid, last, "read_index"))
        if config.loaded:
            m.d.comb += table.bank.eq(read.at("bank", 0))
        for name in table.words.layout.members:
            read.add(name, table.o[name], table.words.latency)
        m.submodules.affine = affine = Affine(config)
        read.feed(affine, affine.LATENCY)
        m.d.comb += [
            self.o.data.eq(affine.o),
            self.o.keep.eq(read.at("keep", affine.LATENCY)),
            self.o.last.eq(read.at("last", affine.LATENCY)),
            self.o_valid.eq(read.at("valid", affine.LATENCY)),
        ]

    def _count(self, m, valid, end, name):
        """Number of a beat in its row."""
        count = Signal(range(max(self.config.max_beats, 2)), name=name)
        with m.If(valid):
            m.d.sync += count.eq(count + 1)
            with m.If(end):
                m.d.sync += count.eq(0)
        return count

    # Loads --------------------------------------------------------------------------------------

    def _connect_loader(self, m, read):
        """Connect the loader to its ports, to the beats read and to the tables."""
        loader = m.submodules.loader
        m.d.comb += [
            loader.load.eq(self.load), loader.load_valid.eq(self.load_valid),
            self.load_ready.eq(loader.load_ready), self.load_error.eq(loader.error),
            loader.begin.eq(self.valid & self.first),
            loader.done.eq(read.at("valid", 0) & read.at("last", 0)),
            loader.done_bank.eq(read.at("bank", 0)),
        ]
        for table in [m.submodules.channels, *([m.submodules.alpha] if self.config.alpha_bits
                                               else [])]:
            m.d.comb += [table.write.eq(loader.write), table.write_bank.eq(loader.write_bank),
                         table.write_index.eq(loader.write_index)]
            m.d.comb += [
                table.write_data[name][lane].eq(self.config.load_layout.parameter(
                    self.load, name, lane))
                for name in table.words.layout.members for lane in range(self.config.lanes)]
