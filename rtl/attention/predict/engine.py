"""Predictive attention: exact attention to those keys only whose predicted score is high."""

from amaranth import Cat, Const, Mux, Signal
from amaranth.lib import data

from ...stream.credit import Credit
from ..selective import SelectiveAttention
from .prediction import Prediction

__all__ = ["PredictiveAttention"]


class PredictiveAttention(SelectiveAttention):
    """Attention of queries to those keys that a prediction keeps; see :class:`AttentionConfig`.

    As :class:`~rtl.attention.engine.DenseAttention`, with one more stage: while the exact stages
    work on the kept keys of earlier queries, the scores of the next one are predicted, several keys
    per cycle.

    Throughput: on average one query in ``config.query_cycles(keys, kept)`` cycles, ``kept`` being
    the average number of kept keys; up to eight queries in flight even out their numbers. In the
    style of prediction-based attention as published; no published datapath is reproduced.
    """

    @classmethod
    def latency_of(cls, config):
        """Latency with one key; see :attr:`AttentionConfig.latency`."""
        return super().latency_of(config) + Prediction.latency_of(config)

    def _rows(self, m, issue, credit):
        m.submodules.prediction = self._prediction = prediction = Prediction(self.config)
        queries = self._predict(m, prediction)
        # Logits wait in a FIFO before the softmax.
        self._note_keys(m, issue, prediction.o.payload.key, 2 * self._logit_cycles(self.config))
        return self._selected_rows(m, issue, credit, prediction.o, queries)

    def _predict(self, m, prediction):
        """Issue the words of codes, a query behind the other; returns the predicted queries."""
        config, keys = self.config, self._keys
        taken = Signal()
        elements, full, set_end = self._queries(m, taken)
        codes, key_codes = self._codes(m, elements)
        queries = self._wait(m, elements, set_end, taken, prediction.rows)
        active, active_end = Signal(prediction.codes.shape()), Signal()

        # Queries in flight, from here to their last exact dot product.
        m.submodules.query_credit = credit = Credit(prediction.rows)
        m.d.comb += [credit.issue.eq(taken), credit.done.eq(
            prediction.o.valid & prediction.o.ready & prediction.o.payload.last)]

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
                 & full & credit.available)
        m.d.comb += [
            first.eq(word == 0), last.eq(word == end[lane_bits:]),
            prediction.issue.eq(~first | start), taken.eq(prediction.issue & first),
            ends.eq(Mux(first, set_end, active_end)),
            over.eq(prediction.issue & last & ends),
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
        return queries

    def _codes(self, m, elements):
        """Codes of the next query, and of the key that is written."""
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
