"""The attention engine: stores of keys and values, a selection, dot products, and a tail.

::

    q -> intake -> selection -> dot array -> (filter) -> (bias) -> tail -> o
                       |            |                      |        |
    k -> store --------'------------'                      |        |
    v -> store --------------------------------------------|--------'
    b -----------------------------------------------------'

A selection (:mod:`~rtl.attention.selections`) says which keys each query meets, one word after the
other; the dot array makes rows of logits of them; the tail, softmax and weighted sums as a rule,
makes the outputs. While one query is in the tail, the next ones are in the dot array and in the
selection.
"""

from amaranth import Module, Mux, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.causes import Causes
from .dot_array import DotArray
from .layouts import WordLayout
from .logit_bias import LogitBias, biased
from .online.tail import OnlineTail
from .parameters import ParameterIntake
from .query_intake import QueryIntake
from .reuse.tail import ReuseTail
from .selections import FILTERS, SELECTIONS
from .set_gate import SetGate
from .set_match import SetMatch
from .set_status import SetStatus
from .two_pass import TwoPassTail
from .vector_store import VectorStore

__all__ = ["Attention"]


class Attention(wiring.Component):
    """Attention of queries to a set of keys and values; see :class:`AttentionConfig`.

    K and V are loaded vector by vector into memories of two sets. A set is the keys up to ``last``
    and as many values. The queries up to ``last`` belong to the first set, the next ones to the
    second, and so on: the last query of a set frees its memory for the set after the next one. A
    query starts once its set is complete, and with scales at run time its parameters are there.
    With reuse of maps there are sets of values alone
    (:class:`~rtl.attention.reuse.tail.ReuseTail`), and queries do not wait for values.

    Throughput: one query in ``config.query_cycles(keys, kept)`` cycles, whatever set it belongs to,
    with K and V loaded meanwhile; a causal query counts the keys that it sees. Latency
    ``config.query_latency(keys)`` cycles from a query's last beat accepted to its output's first
    beat valid in an idle engine. Empty after reset.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.

    Members
    -------
    <stream> : In(stream.Signature(config.streams[name]))
        Inputs: ``q``, ``k`` and ``v``, ``p`` with scales at run time, ``b`` with biases, and those
        of the selection.
    o : Out(stream.Signature(config.output_layout))
        One vector per query, ``last`` in the last beat of a set's last one. ``use`` is 1 for an
        answer of a set that failed, which is undefined: for all of its answers, for the last one
        if the queries are what is wrong, or from the one on whose row of biases is.
    <control> : In(shape)
        The names of ``config.controls``: inputs of the selection.
    clear : In(1)
        Clear ``causes``.
    causes : Out(len(config.causes))
        What was wrong with sets, as ``config.causes`` says. Answers of other sets are right. Sticky
        until reset or ``clear``.
    error : Out(1)
        One of ``causes``.
    """

    def __init__(self, config):
        self.config = config
        self.selection = SELECTIONS[config.select](config)
        super().__init__({
            **{name: self.selection.signature.members[name] for name in config.limit_ports},
            **{name: (Out if name == "o" else In)(stream.Signature(layout))
               for name, layout in config.streams.items()},
            "clear": In(1), "causes": Out(len(config.causes)), "error": Out(1),
        })

    @classmethod
    def latency_of(cls, config):
        """Latency of a configuration; see :attr:`AttentionConfig.latency`."""
        row_filter = FILTERS.get(config.select)
        return (1 + SELECTIONS[config.select].latency_of(config) + DotArray.latency_of(config)
                + (row_filter.latency_of(config) if row_filter else 0)
                + LogitBias.latency_of(config) + tail_of(config).latency_of(config))

    def elaborate(self, platform):
        m = Module()
        config, selection = self.config, self.selection
        optional = selection.signature.members
        words = selection.o.payload
        sizes = config.lanes, config.max_keys
        apart = isinstance(words.word.shape(), data.ArrayLayout)
        m.submodules.keys = keys = VectorStore(
            config.key_layout, config.vector_beats, *sizes, memory=config.memory,
            first=config.known_dims, preview="preview" in optional, apart=apart)
        m.submodules.values = values = VectorStore(
            config.value_layout, config.value_beats, *sizes, memory=config.memory, apart=apart)
        m.submodules.intake = intake = QueryIntake(config)
        m.submodules.gate = gate = SetGate(ahead=selection.ahead, values=not config.reuse)
        m.submodules.selection = selection
        m.submodules.dots = dots = DotArray(
            config, WordLayout(config, words.word.shape(), words.row.shape().but(mark=unsigned(1))),
            hand_on=selection.chooses)
        m.submodules.status = status = SetStatus(ahead=selection.ahead)
        m.submodules.causes = causes = Causes(config.causes)
        for inner, port in (keys.i, self.k), (values.i, self.v), (intake.i, self.q):
            wiring.connect(m, wiring.flipped(port), inner)
        wiring.connect(m, intake.o, selection.query)
        m.d.comb += [
            dots.i.valid.eq(selection.o.valid), selection.o.ready.eq(dots.i.ready),
            *(dots.i.payload[name].eq(words[name]) for name in words.shape().members
              if name != "row"),
            *(dots.i.payload.row[name].eq(words.row[name]) for name in words.row.shape().members),
            dots.i.payload.row.mark.eq(status.mark),
        ]
        logits = dots.o
        if row_filter := FILTERS.get(config.select):
            m.submodules.filter = passing = row_filter(config, logits.payload.shape())
            wiring.connect(m, logits, passing.i)
            logits = passing.o
        logits = biased(m, self, logits, causes)
        m.submodules.tail = tail = tail_of(config)(config, logits.payload.shape(),
                                                   words.word.shape())
        wiring.connect(m, logits, tail.i)
        wiring.connect(m, tail.o, wiring.flipped(self.o))

        taken = dots.i.valid & dots.i.ready
        m.d.comb += [
            gate.keys.eq(keys.complete), gate.values.eq(values.complete),
            gate.over.eq(selection.over), gate.keys_release.eq(keys.release),
            gate.values_release.eq(values.release),
            selection.bank.eq(gate.bank), selection.ends.eq(keys.ends),
            keys.word.eq(dots.word), keys.release.eq(taken & words.last & words.row.set_end),
            dots.keys.eq(keys.o),
            values.word.eq(tail.word), values.release.eq(tail.release), tail.values.eq(values.o),
        ]
        ready = gate.ready
        if config.run_time:
            m.submodules.parameters = parameters = ParameterIntake(config)
            wiring.connect(m, wiring.flipped(self.p), parameters.i)
            wiring.connect(m, parameters.logit, dots.scaling)
            wiring.connect(m, parameters.output, tail.scaling)
            if config.sink:
                wiring.connect(m, parameters.sink, tail.sink)
            m.d.comb += parameters.over.eq(selection.over)
            ready = ready & parameters.there
            if "limits" in optional:
                m.d.comb += selection.limits.eq(parameters.limits)
        m.d.comb += selection.ready.eq(ready)
        self._options(m, keys, dots)
        failed = keys.failed
        m.d.comb += [
            status.place.eq(keys.reading), status.set_end.eq(words.row.set_end),
            status.query_end.eq(intake.o.valid & intake.o.ready & intake.o.payload.last),
            status.query_failed.eq(intake.o.payload.failed),
            causes.long.eq(keys.long | values.long | tail.error),
            causes.within.eq(keys.within | values.within | intake.within),
        ]
        if config.max_queries:
            m.d.comb += causes.queries.eq(intake.endless)
        if "broken" in optional:
            failed = failed | selection.broken
            m.d.comb += causes.columns.eq(selection.error)
        if config.reuse:
            self._second_use(m, values, dots, tail)
            m.d.comb += [
                causes.map.eq(tail.refused),
                tail.failed.eq(Mux(values.reading, values.failed[1], values.failed[0]))]
        else:
            match = self._match(m, keys, values)
            # Both stores take the sets in turn.
            failed = failed | values.failed | match.failed
            m.d.comb += causes.uneven.eq(match.mismatch)
        m.d.comb += [status.failed.eq(failed), causes.clear.eq(self.clear),
                     self.causes.eq(causes.causes), self.error.eq(causes.error)]
        return m

    def _options(self, m, keys, dots):
        """Connect the ports that not every selection has."""
        selection, optional = self.selection, self.selection.signature.members
        for name in self.config.limit_ports:
            m.d.comb += getattr(selection, name).eq(getattr(self, name))
        for name in self.config.streams:
            if name in optional and name != "o":
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(selection, name))
        for name, port in ("query_beat", self.q), ("key_beat", self.k):
            if name in optional:
                tap = getattr(selection, name)
                m.d.comb += [tap.transfer.eq(port.valid & port.ready),
                             tap.payload.eq(port.payload)]
        if "written" in optional:
            m.d.comb += [getattr(selection.written, name).eq(getattr(keys, name))
                         for name in ("write", "bank", "place", "unstored", "finished")]
        if "preview" in optional:
            m.d.comb += [keys.preview_word.eq(selection.preview_word),
                         keys.preview_bank.eq(selection.preview_bank),
                         selection.preview.eq(keys.preview)]
        if "known" in optional:
            m.d.comb += dots.known.eq(selection.known)

    @staticmethod
    def _second_use(m, values, dots, tail):
        """Connect what reuses maps with the values, and with the multipliers it borrows."""
        m.d.comb += [
            tail.complete.eq(values.complete), tail.value_end.eq(values.end),
            tail.use.eq(values.use), dots.borrow.eq(tail.borrow), dots.start.eq(tail.start),
            dots.code.eq(tail.code), dots.value.eq(values.o[0].data), tail.sums.eq(dots.sums),
        ]

    @staticmethod
    def _match(m, keys, values):
        """Comparison of the numbers of keys and values."""
        m.submodules.match = match = SetMatch(keys)
        for name, store in ("keys", keys), ("values", values):
            m.d.comb += [getattr(match, f"{name}_{port}").eq(getattr(store, port))
                         for port in ("finished", "place", "ends", "bank")]
        return match


def tail_of(config):
    """Class of a configuration's tail."""
    if config.reuse:
        return ReuseTail
    return OnlineTail if config.datapath == "online" else TwoPassTail
