"""Selection of the keys that are worth an exact dot product, by predicted scores."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..adder_tree import AdderTree
from ..pipeline import delays
from ..row_queue import RowQueue
from ..row_store import RowStore
from .kept_keys import KeptKeys
from .vector_store import BLOCK_WORDS


__all__ = ["Prediction"]


class Prediction(wiring.Component):
    """Memory of the keys' codes, predicted scores, rule, and indices of the keys that are kept.

    Two passes over a query's keys, ``predict_lanes`` of them per cycle: one for the scores and
    their statistics, one for the comparison, which runs while the next query has its first. What is
    kept of both comes out one index per cycle, in order, words without a kept key taking no time.
    A query of whose keys none takes part keeps key 0. Never stalls: whoever issues words must not
    have more than :attr:`rows` queries in work, from the first word issued to the last index out.

    Members
    -------
    write, write_bank, write_key, write_codes, write_mask : In
        Codes of a key for the memory.
    issue : In(1)
        Word ``word`` of the set ``bank`` is to be predicted.
    kept : In(predict_lanes)
        Lanes of the word that hold a key.
    first, last : In(1)
        The word is the query's first, or last, one.
    codes : In
        Codes of the query, in the cycle after a word was issued.
    o : Out(stream.Signature)
        ``key`` and whether it is the query's ``last`` one.
    """

    def __init__(self, config):
        self.config = config
        self._codes = data.ArrayLayout(config.predictor_config.code_bits, config.dim)
        self._lane_bits = (config.predict_lanes - 1).bit_length()
        super().__init__({
            "write": In(1), "write_bank": In(1), "write_key": In(range(config.max_keys)),
            "write_codes": In(self._codes), "write_mask": In(1),
            "issue": In(1), "bank": In(1), "word": In(range(config.predict_words)),
            "kept": In(config.predict_lanes), "first": In(1), "last": In(1),
            "codes": In(self._codes),
            "o": Out(stream.Signature(KeptKeys.layout(config.max_keys))),
        })

    @staticmethod
    def rows_of(config):
        """Queries that may be in work at a time."""
        return 8 if config.predict_words <= 64 else 4

    @property
    def rows(self):
        """Queries that may be in work at a time."""
        return self.rows_of(self.config)

    @property
    def _score_bits(self):
        return (self.config.predictor_config.largest * self.config.dim).bit_length()

    # Cycles ------------------------------------------------------------------------------------

    @staticmethod
    def _score_cycles(config):
        """From a word issued to its scores."""
        return 3 + AdderTree.stages(config.dim)

    @staticmethod
    def _statistics_cycles(config):
        """From scores to what they add to the statistics."""
        return 1 + max(AdderTree.stages(config.predict_lanes),
                       (config.predict_lanes - 1).bit_length())

    @classmethod
    def latency_of(cls, config):
        """From a query's only word issued to its first index valid."""
        return cls._score_cycles(config) + cls._statistics_cycles(config) + 4 + 2 + 4 + 3

    # Structure ---------------------------------------------------------------------------------

    def elaborate(self, platform):
        m = Module()
        scores, live = self._scores(m)
        threshold, count = self._statistics(m, scores, live)
        self._compare(m, scores, live, threshold, count)
        return m

    def _scores(self, m):
        """Scores of a word's keys, and which of them take part, at stage ``_score_cycles``."""
        config = self.config
        rule = config.predictor_config
        size = 1 << (config.predict_words - 1).bit_length()
        layout = data.StructLayout({"codes": self._codes, "mask": unsigned(1)})
        style = config.memory if config.memory != "auto" else (
            "block" if 2 * config.predict_words > BLOCK_WORDS else "distributed")
        query = Signal(self._codes)
        m.d.sync += query.eq(self.codes)
        masks, scores = [], []
        for lane in range(config.predict_lanes):
            m.submodules[f"codes_{lane}"] = codes = memory.Memory(
                shape=layout, depth=size + config.predict_words, init=[],
                attrs={"ram_style": style})
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
            m.submodules[f"score_{lane}"] = tree = AdderTree(
                rule.largest.bit_length(), config.dim, largest=rule.largest)
            for j in range(config.dim):
                term = Signal(rule.largest.bit_length(), name=f"term_{lane}_{j}")
                m.d.sync += term.eq(rule.term_logic(m, query[j], held.codes[j], term.name))
                m.d.comb += tree.i[j].eq(term)
            masks.append(delays(m, held.mask, self._score_cycles(config) - 2, f"mask_{lane}")[-1])
            scores.append(tree.o)
        kept = delays(m, self.kept, self._score_cycles(config), "kept")[-1]
        return scores, kept & ~Cat(masks)

    def _flag(self, m, name, cycles):
        """A flag of the word that was issued so many cycles ago."""
        return delays(m, getattr(self, name) & self.issue, cycles, f"{name}_issued")[-1]

    def _statistics(self, m, scores, live):
        """Queues with the threshold and the number of living keys of each query."""
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
        m.d.sync += number.eq(sum(live[lane] for lane in range(lanes)))
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

        width = len(total) + shift + 1
        threshold = Signal(width)
        counts = delays(m, count, 3, "count")
        if config.rule == "mean":
            # Number times largest, plus 2**shift - 1 times the sum.
            product = Signal(len(count) + bits, reset_less=True)
            operand, other = Signal.like(count), Signal.like(largest)
            totals = delays(m, total, 2, "total")[-1]
            m.d.sync += [operand.eq(count), other.eq(largest), product.eq(operand * other),
                         threshold.eq(product + (totals << shift) - totals)]
        else:
            distance = delays(m, largest, 2, "largest")[-1]
            m.d.sync += threshold.eq(Mux(distance > config.threshold,
                                         distance - config.threshold, 0))
        m.submodules.thresholds = queue = RowQueue(width + len(count), self.rows)
        m.d.comb += [queue.i.eq(Cat(threshold, counts[3])),
                     queue.push.eq(delays(m, last, 4, "statistics")[-1])]
        self._thresholds = queue
        return queue.o[:width], queue.o[width:]

    def _compare(self, m, scores, live, threshold, count):
        """Second pass: words of complete queries, the rule, and the indices of what it keeps."""
        config, bits = self.config, self._score_bits
        lanes = config.predict_lanes
        wait = self._statistics_cycles(config) + 4
        at = self._score_cycles(config) + wait
        layout = data.StructLayout({
            "scores": data.ArrayLayout(bits, lanes), "live": unsigned(lanes),
            "word": range(config.predict_words), "last": unsigned(1)})
        m.submodules.store = store = RowStore(layout, config.predict_words, memory=config.memory)
        m.d.comb += [
            store.i.scores.as_value().eq(delays(m, Cat(scores), wait, "scores")[-1]),
            store.i.live.eq(delays(m, live, wait, "live")[-1]),
            store.i.word.eq(delays(m, self.word, at, "word")[-1]),
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
        m.d.comb += self._thresholds.pop.eq(store.valid & start)
        *_, scored, chosen = delays(m, store.o, 4, "beat")
        valid = delays(m, store.valid, 4, "compared")[-1]
        limits = delays(m, limit, 2, "limit")[-1]
        nothing = delays(m, number == 0, 2, "nothing")[-1]
        keep = Signal(lanes)
        for lane in range(lanes):
            if config.rule == "mean":
                product = Signal(bits + len(count), name=f"product_{lane}", reset_less=True)
                operand = Signal(bits, name=f"operand_{lane}", reset_less=True)
                held = Signal.like(product, name=f"product_held_{lane}", reset_less=True)
                m.d.sync += [operand.eq(store.o.scores[lane]), product.eq(operand * number),
                             held.eq(product)]
                enough = (held << config.mean_shift) >= limits
            else:
                enough = scored.scores[lane] >= limits
            flag = scored.live[lane] & enough
            if lane == 0:
                flag |= nothing & (scored.word == 0)
            m.d.sync += keep[lane].eq(flag)

        m.submodules.indices = indices = KeptKeys(
            lanes, config.max_keys, self.rows * config.predict_words)
        m.d.comb += [indices.valid.eq(valid), indices.keep.eq(keep), indices.word.eq(chosen.word),
                     indices.last.eq(chosen.last)]
        wiring.connect(m, indices.o, wiring.flipped(self.o))
