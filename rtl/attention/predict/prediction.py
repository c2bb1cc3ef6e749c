"""Selection of keys by predicted scores."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.adder_tree import AdderTree
from ...blocks.memory import ram
from ...blocks.pipeline import delays
from ...blocks.population_count import population_count
from ...stream.fifo import Fifo, FifoStorage
from ...stream.row_store import RowStore
from ...stream.top_k import TopK
from ..kept_keys import KeptKeys

__all__ = ["Prediction"]

# From the statistics of a query to the threshold that follows from them; and what a shift that
# comes with the query takes on top.
THRESHOLD_CYCLES = 5
SHIFT_CYCLES = 2


class Prediction(wiring.Component):
    """Memory of the keys' codes, predicted scores, rule, and indices of the keys that are kept.

    Two passes over a query's keys, ``predict_lanes`` of them per cycle: the first makes the scores
    and their statistics, the second, while the next query has its first, compares them with the
    threshold. The rule ``top-k`` takes a pass for every digit of the scores
    (:class:`~rtl.stream.top_k.TopK`). Kept keys leave in order, per cycle one for each lane of the
    stores (:class:`~rtl.attention.kept_keys.KeptKeys`); words without a kept key take no cycle of
    the output.

    Throughput one word of keys per cycle, in; latency :meth:`latency_of`. Never stalls: at most
    :attr:`rows` queries may be in flight, from the first word issued to the last index out.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``n`` stands for ``max_keys``.

    Members
    -------
    write : In(1)
        A key's codes are written.
    write_bank : In(1)
        Which of the two sets it is of.
    write_key : In(range(n))
        Its number in the set.
    write_codes : In(ArrayLayout(code_bits, dims))
        Its codes.
    write_mask : In(1)
        It takes no part.
    issue : In(1)
        A word of keys is to be predicted.
    bank : In(1)
        Set of the word.
    word : In(range(predict_words))
        Index of the word in its set.
    kept : In(predict_lanes)
        Bit k: the word has a key in lane k.
    first : In(1)
        The word starts its query.
    last : In(1)
        The word ends its query.
    codes : In(ArrayLayout(code_bits, dims))
        Codes of the query, in the cycle after a word was issued.
    limit : In(16)
        What the rule goes by (``mean_shift``, ``threshold`` or ``top_k``), with ``issue``. Only
        with scales at run time.
    o : Out(stream.Signature(KeptKeys.layout(n, lanes)))
        Kept keys.
    score : Out(ArrayLayout(score_bits, lanes))
        Scores of the keys that left ``o`` two cycles ago. Of width 0 where the predictor's scores
        are no part of the dot product.
    """

    def __init__(self, config):
        self.config = config
        rule = config.predictor_config
        self._codes = data.ArrayLayout(rule.code_bits, rule.dims)
        self._lane_bits = (config.predict_lanes - 1).bit_length()
        super().__init__({
            "write": In(1), "write_bank": In(1), "write_key": In(range(config.max_keys)),
            "write_codes": In(self._codes), "write_mask": In(1),
            "issue": In(1), "bank": In(1), "word": In(range(config.predict_words)),
            "kept": In(config.predict_lanes), "first": In(1), "last": In(1),
            "codes": In(self._codes),
            "o": Out(stream.Signature(KeptKeys.layout(config.max_keys, config.lanes))),
            "score": Out(data.ArrayLayout(rule.score_bits if rule.partial else 0, config.lanes)),
            **({"limit": In(16)} if config.run_time else {}),
        })

    @staticmethod
    def rows_of(config):
        """Queries that may be in flight."""
        words = config.predict_words
        few = 8 if words <= 64 else 4
        if config.rule != "top-k":
            return few
        # Each pass works on a query of its own, and takes a few cycles to decide.
        stages = TopK.stages(config.predictor_config.score_bits)
        return min(few - (-stages * (words + 6) // words), 32)

    @property
    def rows(self):
        """Queries that may be in flight."""
        return self.rows_of(self.config)

    @property
    def _score_bits(self):
        return self.config.predictor_config.score_bits

    # Cycles ------------------------------------------------------------------------------------

    @staticmethod
    def _score_cycles(config):
        """From a word issued to its scores."""
        return 2 + config.predictor_config.score_stages

    @staticmethod
    def _statistics_cycles(config):
        """From scores to what they add to the statistics."""
        return 1 + max(AdderTree.stages(config.predict_lanes),
                       (config.predict_lanes - 1).bit_length())

    @staticmethod
    def _threshold_cycles(config):
        """From the statistics of a query to its threshold."""
        shifts = config.run_time and config.rule == "mean"
        return THRESHOLD_CYCLES + shifts * SHIFT_CYCLES

    @classmethod
    def latency_of(cls, config):
        """From a query's only word issued to its first keys valid."""
        rule = (TopK.latency_of(config.predictor_config.score_bits)
                if config.rule == "top-k" else
                cls._statistics_cycles(config) + cls._threshold_cycles(config) + 2 + 4)
        deal = KeptKeys.stages(config.predict_lanes, config.lanes, config.max_keys)
        return cls._score_cycles(config) + rule + deal + 2 + Fifo.latency_of("auto")

    # Structure ---------------------------------------------------------------------------------

    def elaborate(self, platform):
        m = Module()
        scores, live = self._scores(m)
        if self.config.rule == "top-k":
            keep, valid, last = self._top_k(m, scores, live)
        else:
            keep, valid, last = self._compare(m, scores, live, *self._statistics(m, scores, live))
        config = self.config
        partial = config.predictor_config.partial
        m.submodules.indices = indices = KeptKeys(
            config.predict_lanes, config.lanes, config.max_keys, self.rows * config.predict_words,
            memory="auto", places=self._places if partial else 1)
        word = Signal(range(config.predict_words))
        with m.If(valid):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        m.d.comb += [indices.valid.eq(valid), indices.keep.eq(keep), indices.word.eq(word),
                     indices.last.eq(last)]
        wiring.connect(m, indices.o, wiring.flipped(self.o))
        if partial:
            self._kept_scores(m, scores, indices)
        return m

    def _scores(self, m):
        """Scores of a word's keys, and which of them take part, at stage ``_score_cycles``."""
        config = self.config
        rule = config.predictor_config
        size = 1 << (config.predict_words - 1).bit_length()
        layout = data.StructLayout({"codes": self._codes, "mask": unsigned(1)})
        query = Signal(self._codes)
        m.d.sync += query.eq(self.codes)
        masks, scores = [], []
        for lane in range(config.predict_lanes):
            m.submodules[f"codes_{lane}"] = codes = ram(
                layout, size + config.predict_words, config.memory)
            port, read = codes.write_port(), codes.read_port()
            m.d.comb += [
                port.addr.eq(Cat(self.write_key[self._lane_bits:], Const(0, max(
                    len(self.word) - len(self.write_key[self._lane_bits:]), 0)),
                    self.write_bank)),
                port.data.codes.eq(self.write_codes), port.data.mask.eq(self.write_mask),
                port.en.eq(self.write & (self.write_key[:self._lane_bits] == lane)),
                read.addr.eq(Cat(self.word, self.bank)),
            ]
            held = Signal(layout, name=f"held_{lane}")
            m.d.sync += held.eq(read.data)
            masks.append(delays(m, held.mask, rule.score_stages, f"mask_{lane}")[-1])
            scores.append(rule.score_logic(m, query, held.codes, f"score_{lane}"))
        kept = delays(m, self.kept, self._score_cycles(config), "kept")[-1]
        return scores, kept & ~Cat(masks)

    def _flag(self, m, name, cycles):
        """Flag of the word that was issued ``cycles`` ago."""
        return delays(m, getattr(self, name) & self.issue, cycles, f"{name}_issued")[-1]

    def _statistics(self, m, scores, live):
        """Pop, threshold and number of live keys of the query at the head of a FIFO."""
        config, bits = self.config, self._score_bits
        lanes, shift = config.predict_lanes, config.mean_shift
        cycles = self._statistics_cycles(config)
        at = self._score_cycles(config) + cycles
        m.submodules.beat_sum = tree = AdderTree(bits, lanes)
        living = []
        for lane, score in enumerate(scores):
            word = Signal(bits, name=f"living_{lane}")
            m.d.sync += word.eq(Mux(live[lane], score, 0))
            m.d.comb += tree.i[lane].eq(word)
            living.append(word)
        beat_sum = delays(m, tree.o, cycles - 1 - tree.latency, "beat_sum")[-1]
        top, levels = living, 0
        while len(top) > 1:
            following = []
            for k in range(0, len(top), 2):
                larger = Signal(bits, name=f"larger_{levels}_{k}")
                m.d.sync += larger.eq(Mux(top[k] > top[k + 1], top[k], top[k + 1]))
                following.append(larger)
            top, levels = following, levels + 1
        beat_top = delays(m, top[0], cycles - 1 - levels, "beat_top")[-1]
        number = Signal(range(lanes + 1))
        m.d.sync += number.eq(population_count(m, list(live), "living"))
        number = delays(m, number, cycles - 1, "number")[-1]

        first, valid, last = (self._flag(m, name, at) for name in ("first", "issue", "last"))
        count = Signal(range(config.max_keys + 1))
        total = Signal(range(config.max_keys * ((1 << bits) - 1) + 1))
        largest = Signal(bits)
        with m.If(valid):
            m.d.sync += [count.eq(Mux(first, 0, count) + number),
                         total.eq(Mux(first, 0, total) + beat_sum)]
            with m.If(first | (beat_top > largest)):
                m.d.sync += largest.eq(beat_top)

        made = self._threshold_cycles(config)
        counts = delays(m, count, made - 1, "count")[-1]
        # Bits of mean_shift, or of what else the query brings, at the time of its threshold.
        limit = config.threshold
        if config.run_time:
            limit = delays(m, self.limit, at + 4, "limit_of_query")[-1]
            shift = 0
        width = len(total) + shift + 1
        threshold = Signal(width)
        if config.rule == "mean" and config.run_time:
            m.d.sync += threshold.eq(self._shifted_mean(m, count, largest, total, limit[:3]))
        elif config.rule == "mean":
            # Number times largest, plus 2**shift - 1 times the sum.
            product = Signal(len(count) + bits, reset_less=True)
            held = Signal.like(product, name="product_held", reset_less=True)
            operand, other = Signal.like(count), Signal.like(largest)
            totals = delays(m, total, 3, "total")[-1]
            m.d.sync += [operand.eq(count), other.eq(largest), product.eq(operand * other),
                         held.eq(product), threshold.eq(held + (totals << shift) - totals)]
        else:
            distance = delays(m, largest, 3, "largest")[-1]
            m.d.sync += threshold.eq(Mux(distance > limit, distance - limit, 0))
        m.submodules.thresholds = queue = FifoStorage(width + len(count), self.rows)
        m.d.comb += [queue.i.eq(Cat(threshold, counts)),
                     queue.push.eq(delays(m, last, made, "statistics")[-1])]
        return queue.pop, queue.o[:width], queue.o[width:]

    @staticmethod
    def _shifted_mean(m, count, largest, total, shift):
        """Least number times score that is kept, 5 cycles after the statistics.

        ``sum + ceil((number largest - sum) / 2**shift)``: the products are compared as they are.
        ``shift`` comes 3 cycles after the statistics.
        """
        product = Signal(len(count) + len(largest), reset_less=True)
        held = Signal.like(product, name="product_held", reset_less=True)
        operand, other = Signal.like(count), Signal.like(largest)
        totals = delays(m, total, 5, "total")
        above, part = Signal.like(product, name="above"), Signal.like(product, name="part")
        steps = delays(m, shift, 1, "shift")
        # All ones below the bits that stay: the quotient is rounded up.
        below = Cat(steps[1] > k for k in range(7))
        m.d.sync += [operand.eq(count), other.eq(largest), product.eq(operand * other),
                     held.eq(product), above.eq(held - totals[3]),
                     part.eq((above + below) >> steps[1])]
        return part + totals[5]

    def _top_k(self, m, scores, live):
        """Keys of a word that are kept, whether there is a word, and whether it is the last."""
        config = self.config
        at = self._score_cycles(config)
        m.submodules.top_k = top_k = TopK(self._score_bits, config.predict_lanes,
                                          config.predict_words,
                                          config.max_keys if config.run_time else config.top_k,
                                          run_time=config.run_time, memory=config.memory)
        if config.run_time:
            limit = delays(m, self.limit, at, "limit_of_query")[-1]
            m.d.comb += top_k.number.eq(Mux(limit > top_k.k, top_k.k, limit))
        m.d.comb += [word.eq(score) for word, score in zip(top_k.data, scores, strict=True)]
        m.d.comb += [top_k.live.eq(live), top_k.write.eq(self._flag(m, "issue", at)),
                     top_k.last.eq(self._flag(m, "last", at))]
        return top_k.keep, top_k.valid, top_k.ends

    def _compare(self, m, scores, live, pop, threshold, count):
        """As :meth:`_top_k`, by comparison with a query's threshold, in a second pass."""
        config, bits = self.config, self._score_bits
        lanes = config.predict_lanes
        wait = self._statistics_cycles(config) + self._threshold_cycles(config)
        at = self._score_cycles(config) + wait
        layout = data.StructLayout({
            "scores": data.ArrayLayout(bits, lanes), "live": unsigned(lanes),
            "last": unsigned(1)})
        m.submodules.store = store = RowStore(layout, config.predict_words, memory=config.memory)
        m.d.comb += [
            store.i.scores.as_value().eq(delays(m, Cat(scores), wait, "scores")[-1]),
            store.i.live.eq(delays(m, live, wait, "live")[-1]),
            store.i.last.eq(self._flag(m, "last", at)),
            store.write.eq(self._flag(m, "issue", at)), store.last.eq(store.i.last),
        ]

        # A cycle for the operands, two for the products, one for the comparison.
        start = Signal(init=1)
        limit, number = Signal.like(threshold), Signal(len(count), reset_less=True)
        with m.If(store.valid):
            m.d.sync += start.eq(store.o.last)
        with m.If(start):
            m.d.sync += [limit.eq(threshold), number.eq(count)]
        m.d.comb += pop.eq(store.valid & start)
        *_, scored, chosen = delays(m, store.o, 4, "beat")
        valid = delays(m, store.valid, 4, "compared")[-1]
        limits = delays(m, limit, 2, "limit")[-1]
        keep = Signal(lanes)
        for lane in range(lanes):
            if config.rule == "mean":
                product = Signal(bits + len(count), name=f"product_{lane}", reset_less=True)
                operand = Signal(bits, name=f"operand_{lane}", reset_less=True)
                held = Signal.like(product, name=f"product_held_{lane}", reset_less=True)
                m.d.sync += [operand.eq(store.o.scores[lane]), product.eq(operand * number),
                             held.eq(product)]
                enough = (held << (0 if config.run_time else config.mean_shift)) >= limits
            else:
                enough = scored.scores[lane] >= limits
            m.d.sync += keep[lane].eq(scored.live[lane] & enough)
        return keep, valid, chosen.last

    @property
    def _places(self):
        """Words of the queries in flight, at most, as a power of two."""
        return 1 << (self.rows * self.config.predict_words - 1).bit_length()

    def _kept_scores(self, m, scores, indices):
        """Memory of the scores of all words in flight, read for the keys that are kept."""
        at, deal = self._score_cycles(self.config), indices.deal
        tail = Signal(range(self._places))
        write = self._flag(m, "issue", at)
        m.d.sync += tail.eq(tail + write)
        turn, _ = deal.first(m, delays(m, self.word, at, "word_of_scores")[-1], "scores")
        for lane, own in enumerate(deal.dealt(m, scores, turn, "dealt_score")):
            held = []
            for slot, score in enumerate(own):
                name = f"{lane}_{slot}"
                m.submodules[f"kept_scores_{name}"] = kept = ram(len(score), self._places)
                port, read = kept.write_port(), kept.read_port()
                m.d.comb += [port.addr.eq(tail), port.data.eq(score), port.en.eq(write),
                             read.addr.eq(indices.place[lane])]
                held.append(Signal.like(score, name=f"kept_score_{name}", reset_less=True))
                m.d.sync += held[-1].eq(read.data)
            chosen = delays(m, indices.slot[lane], 2, f"kept_slot_{lane}")[-1]
            m.d.comb += self.score[lane].eq(Array(held)[chosen])
