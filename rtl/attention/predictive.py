"""Predictive attention: exact attention to those keys only whose predicted score is high."""

from amaranth import Cat, Const, Mux, Signal, unsigned
from amaranth.lib import data

from ..row_queue import RowQueue
from .dense import DenseAttention
from .prediction import Prediction
from .queue import PipelineQueue


__all__ = ["PredictiveAttention"]


class PredictiveAttention(DenseAttention):
    """Attention of queries to those keys that a prediction keeps; see :class:`AttentionConfig`.

    As :class:`~rtl.attention.dense.DenseAttention`, with a stage more: while the exact stages work
    on the kept keys of earlier queries, the keys of the next one are predicted, several per cycle.

    Throughput: on average one query in ``config.query_cycles(keys, kept)`` cycles, ``kept`` keys of
    a query being kept on average; up to eight queries may be in work, which evens out their
    numbers. In the style of prediction-based attention as published; no published datapath is
    reproduced.
    """

    @classmethod
    def latency_of(cls, config):
        """Latency with one key; see :attr:`AttentionConfig.latency`."""
        return super().latency_of(config) + Prediction.latency_of(config)

    def _rows(self, m, issue, room):
        config, keys = self.config, self._keys
        m.submodules.prediction = prediction = Prediction(config)
        self._prediction = prediction
        queries = self._predict(m, prediction)

        # The exact stages take one kept key after the other.
        kept = prediction.o
        active, first = Signal.like(queries.payload.elements), Signal(init=1)
        active_last, set_end = Signal(), Signal()
        last = kept.payload.last
        m.d.comb += [
            issue.eq(room & kept.valid), kept.ready.eq(room), keys.word.eq(kept.payload.key),
            set_end.eq(Mux(first, queries.payload.last, active_last)),
            queries.ready.eq(issue & first), keys.release.eq(issue & last & set_end),
        ]
        with m.If(issue):
            m.d.sync += first.eq(last)
            with m.If(first):
                m.d.sync += [active.eq(queries.payload.elements),
                             active_last.eq(queries.payload.last)]
        self._note_row(m, issue & last, set_end)
        self._note_keys(m, issue, kept.payload.key)
        return active, last, keys.end

    def _predict(self, m, prediction):
        """Words of codes, a query behind the other; returns the stream of predicted queries."""
        config, keys = self.config, self._keys
        taken = Signal()
        elements, full, set_end = self._queries(m, taken)
        codes, key_codes = self._codes(m, elements)
        layout = data.StructLayout({"elements": elements.shape(), "last": unsigned(1)})
        m.submodules.queries = queries = PipelineQueue(layout, prediction.rows)
        active, active_end = Signal(prediction.codes.shape()), Signal()

        # Queries in work, from here to their last exact dot product.
        room = Signal(range(prediction.rows + 1), init=prediction.rows)
        done = prediction.o.valid & prediction.o.ready & prediction.o.payload.last
        with m.If(taken & ~done):
            m.d.sync += room.eq(room - 1)
        with m.Elif(done & ~taken):
            m.d.sync += room.eq(room + 1)

        word, bank = Signal(range(config.predict_words)), Signal()
        first, last, over, ends = Signal(), Signal(), Signal(), Signal()
        predicted = self._between(m, over, keys.release, "predicted")
        ahead = self._between(m, over, self._values.release, "ahead")
        final = Signal(range(config.max_keys))
        m.d.comb += final.eq(Mux(bank, keys.ends[1].word, keys.ends[0].word))
        end = final
        if config.causal:
            end = Signal.like(final, name="seen")
            with m.If(over):
                m.d.sync += end.eq(0)
            with m.Elif(prediction.issue & last & (end != final)):
                m.d.sync += end.eq(end + 1)
        lane_bits = (config.predict_lanes - 1).bit_length()
        end_lane = Cat(end, Const(0, lane_bits))[:lane_bits]
        start = ((keys.complete > predicted) & (self._values.complete > ahead)
                 & full & (room != 0))
        m.d.comb += [
            first.eq(word == 0), last.eq(word == end[lane_bits:]),
            prediction.issue.eq(~first | start), taken.eq(prediction.issue & first),
            ends.eq(Mux(first, set_end, active_end)),
            over.eq(prediction.issue & last & ends),
            queries.push.eq(taken), queries.i.elements.eq(elements), queries.i.last.eq(set_end),
            prediction.word.eq(word), prediction.bank.eq(bank), prediction.first.eq(first),
            prediction.last.eq(last), prediction.codes.eq(active),
            prediction.kept.eq(Cat(Const(1, 1), *(
                ~last | (end_lane >= k) for k in range(1, config.predict_lanes)))),
            prediction.write.eq(keys.write), prediction.write_bank.eq(keys.bank),
            prediction.write_key.eq(keys.place.word), prediction.write_codes.eq(key_codes),
            prediction.write_mask.eq(self.k.payload.mask),
        ]
        with m.If(prediction.issue):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
            with m.If(first):
                m.d.sync += [active.eq(codes), active_end.eq(set_end)]
        with m.If(over):
            m.d.sync += bank.eq(~bank)
        return queries.o

    def _codes(self, m, elements):
        """Codes of the query that waits, and of the key that is written."""
        config = self.config
        rule = config.predictor_config
        if rule.partial:
            return elements.as_value()[:rule.dims * rule.code_bits], self._keys.unstored.as_value()
        size = rule.code_bits * config.io_lanes
        layout = data.ArrayLayout(rule.code_bits, config.dim)
        gathered = []
        for name, port in ("query", self.q), ("key", self.k):
            fresh = Cat(rule.code_logic(m, port.payload.data[lane], f"{name}_code_{lane}")
                        for lane in range(config.io_lanes))
            held = Signal(layout, name=f"{name}_codes")
            complete = Cat(held.as_value()[size:], fresh)
            with m.If(port.valid & port.ready):
                m.d.sync += held.eq(complete)
            gathered.append((held, complete))
        return gathered[0][0], gathered[1][1]

    def _known(self, m):
        rule = self.config.predictor_config
        return self._prediction.score, rule.offset if rule.partial else 0

    def _note_keys(self, m, issue, key):
        """Keep which keys the logits on their way belong to."""
        config = self.config
        softmax = config.softmax_config
        # As many as the logits' queue, the softmax's stores and its pipeline can hold.
        store = 1 << max(softmax.max_beats - 1, 1).bit_length()
        bound = (2 * self._logit_cycles(config) + softmax.passes * (store + softmax.max_beats)
                 + 2 * softmax.latency + 8)
        m.submodules.kept_keys = self._kept_keys = RowQueue(
            len(key), 1 << (bound - 1).bit_length())
        m.d.comb += [self._kept_keys.i.eq(key), self._kept_keys.push.eq(issue)]

    def _value_word(self, m, accept, last):
        m.d.comb += self._kept_keys.pop.eq(accept)
        return self._kept_keys.o
