"""The selection of keys whose predicted score is high."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..key_numbers import KeyNumbers
from ..layouts import BeatTap, PlaceLayout, QueryLayout, RowLayout, WrittenKey
from ..parameters import LimitsLayout
from ..selected_rows import SelectedRows
from .prediction import Prediction

__all__ = ["PredictedKeys"]


class PredictedKeys(wiring.Component):
    """Queries meet those keys only that a prediction keeps; see :class:`AttentionConfig`.

    While the exact stages work on the kept keys of earlier queries, the scores of the next one are
    predicted, several keys per cycle. Up to eight queries in flight even out the numbers of their
    keys. In the style of prediction-based attention as published; no published datapath is
    reproduced.

    Throughput: on average one query in :meth:`cycles_of` cycles. Latency :meth:`latency_of` cycles
    with one key.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``n`` stands for ``max_keys``.

    Members
    -------
    query : In(stream.Signature(QueryLayout(config)))
        Queries.
    ready : In(1)
        The set of the next query is complete.
    bank : In(1)
        Which of the two sets of the keys' store it is.
    ends : In(ArrayLayout(PlaceLayout(n, lanes), 2))
        Places of the last key of each of the two sets.
    over : Out(1)
        The last word of codes of a set's last query is predicted.
    query_beat : In(BeatTap(config.vector_layout))
        Beat of the queries.
    key_beat : In(BeatTap(config.key_layout))
        Beat of the keys.
    written : In(WrittenKey(PlaceLayout(n, lanes), ArrayLayout(signed(bits), known_dims)))
        Key that is written to its store.
    known : Out(ArrayLayout(known_bits, lanes))
        Known part of the dot products of the keys that left two cycles ago.
    limits : In(LimitsLayout(config))
        What the rule goes by for the next query: ``mean_shift``, ``threshold`` or ``top_k``. Only
        with scales at run time.
    o : Out(stream.Signature(PredictedKeys.layout(config)))
        Words of kept keys.
    """

    #: As of :class:`~rtl.attention.every_key.EveryKey`.
    ahead = True
    chooses = True

    def __init__(self, config):
        self.config = config
        place = PlaceLayout(config.max_keys, config.lanes)
        super().__init__({
            "query": In(stream.Signature(QueryLayout(config))), "ready": In(1), "bank": In(1),
            "ends": In(data.ArrayLayout(place, 2)), "over": Out(1),
            "query_beat": In(BeatTap(config.vector_layout)),
            "key_beat": In(BeatTap(config.key_layout)),
            "written": In(WrittenKey(place, config.unstored_layout)),
            "known": Out(data.ArrayLayout(unsigned(config.known_bits), config.lanes)),
            "o": Out(stream.Signature(self.layout(config))),
            **({"limits": In(LimitsLayout(config))} if config.run_time else {}),
        })

    @staticmethod
    def layout(config):
        """Layout of a word."""
        return SelectedRows.layout(config, RowLayout())

    @staticmethod
    def latency_of(config):
        """Cycles from a query to its word, with one key."""
        return Prediction.latency_of(config)

    @staticmethod
    def cycles_of(config, keys, kept=None):
        """Cycles per query, once the engine is full, whose kept keys take so many on average."""
        return max(-(-keys // config.predict_lanes),
                   -(-keys // config.lanes) if kept is None else kept)

    def elaborate(self, platform):
        m = Module()
        config, query = self.config, self.query.payload
        m.submodules.prediction = prediction = Prediction(config)
        m.submodules.rows = rows = SelectedRows(config, RowLayout(), prediction.rows)
        wiring.connect(m, prediction.o, rows.keys)
        wiring.connect(m, rows.o, wiring.flipped(self.o))
        taken = Signal()
        codes, key_codes = self._codes(m)
        active, active_end = Signal(prediction.codes.shape()), Signal()

        word = Signal(range(config.predict_words))
        first, last, set_end = Signal(), Signal(), Signal()
        m.submodules.numbers = numbers = KeyNumbers(config.max_keys, config.lanes)
        m.d.comb += [getattr(numbers, name).eq(getattr(self.written, name))
                     for name in ("write", "bank", "finished", "place")]
        final = Signal(range(config.max_keys))
        m.d.comb += [numbers.ends.eq(self.ends),
                     final.eq(Mux(self.bank, numbers.last[1], numbers.last[0]))]
        end = final
        if config.causal:
            end = Signal.like(final, name="seen")
            with m.If(self.over):
                m.d.sync += end.eq(0)
            with m.Elif(prediction.issue & last & (end != final)):
                m.d.sync += end.eq(end + 1)
        lane_bits = (config.predict_lanes - 1).bit_length()
        end_lane = Cat(end, Const(0, lane_bits))[:lane_bits]
        start = self.query.valid & self.ready & rows.available
        m.d.comb += [
            first.eq(word == 0), last.eq(word == end[lane_bits:]),
            prediction.issue.eq(~first | start), taken.eq(prediction.issue & first),
            set_end.eq(Mux(first, query.last, active_end)),
            self.over.eq(prediction.issue & last & set_end), self.query.ready.eq(taken),
            rows.take.eq(taken), rows.elements.eq(query.elements), rows.row.set_end.eq(query.last),
            prediction.word.eq(word), prediction.bank.eq(self.bank), prediction.first.eq(first),
            prediction.last.eq(last), prediction.codes.eq(active),
            prediction.kept.eq(Cat(Const(1, 1), *(
                ~last | (end_lane >= k) for k in range(1, config.predict_lanes)))),
            prediction.write.eq(self.written.write), prediction.write_bank.eq(self.written.bank),
            prediction.write_key.eq(numbers.number),
            prediction.write_codes.eq(key_codes),
            prediction.write_mask.eq(self.key_beat.payload.mask),
            self.known.eq(prediction.score),
        ]
        if config.run_time:
            m.d.comb += prediction.limit.eq(self.limits[0])
        with m.If(prediction.issue):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
            with m.If(first):
                m.d.sync += [active.eq(codes), active_end.eq(query.last)]
        return m

    def _codes(self, m):
        """Codes of the next query, and of the key that is written."""
        config = self.config
        rule = config.predictor_config
        if rule.partial:
            elements = self.query.payload.elements.as_value()
            return elements[:rule.dims * rule.code_bits], self.written.unstored.as_value()
        size = rule.code_bits * config.io_lanes
        layout = data.ArrayLayout(rule.code_bits, config.dim)
        gathered = []
        for name, beat in ("query", self.query_beat), ("key", self.key_beat):
            fresh = Cat(rule.code_logic(m, beat.payload.data[lane], f"{name}_code_{lane}")
                        for lane in range(config.io_lanes))
            held = Signal(layout, name=f"{name}_codes")
            complete = Cat(held.as_value()[size:], fresh)
            with m.If(beat.transfer):
                m.d.sync += held.eq(complete)
            gathered.append((held, complete))
        return gathered[0][0], gathered[1][1]
