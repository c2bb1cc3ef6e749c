"""Approximate attention: exact attention to those keys only that a greedy search finds."""

from amaranth import Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In

from ..row_queue import RowQueue
from .column_merge import ColumnMerge
from .column_sort import ColumnSort
from .dense import DenseAttention
from .greedy_search import GreedySearch
from .post_score import PostScore
from .queue import PipelineQueue


__all__ = ["GreedyAttention"]


class GreedyAttention(DenseAttention):
    """Attention of queries to candidates of a greedy search; see :class:`AttentionConfig`.

    As :class:`~rtl.attention.dense.DenseAttention`, with three stages more: the columns of the keys
    are sorted as these are loaded, a search finds candidates, and of their exact logits those stay
    that are near the largest. As in A3 (Ham et al., HPCA 2020); what the engine does otherwise is
    said in ``docs/attention.md``.

    Throughput: on average one query in ``config.query_cycles(keys, candidates)`` cycles; up to
    eight queries may be in work, which evens out their numbers. A set is sorted in
    ``config.sort_cycles(keys)`` cycles, while the sets before it run.

    Members
    -------
    iterations, distance, adjust : In
        With ``adjust`` high, ``iterations`` is taken for the number of iterations, and ``distance``
        for the distance in logit steps, for the queries whose last beat is accepted after this
        cycle. After reset the two are ``config.iterations`` and ``config.distance``.
    """

    PREVIEW = True

    @staticmethod
    def _controls(config):
        return {"adjust": In(1), "iterations": In(config.iteration_bits),
                "distance": In(config.logit_bits)}

    @classmethod
    def latency_of(cls, config):
        """Latency with one key; see :attr:`AttentionConfig.latency`."""
        return super().latency_of(config) + GreedySearch.latency_of(config) + PostScore.latency()

    def _logits(self, m):
        config = self.config
        logits = super()._logits(m)
        m.submodules.post_score = post = PostScore(config)
        beat = logits.payload
        m.d.comb += [
            post.i.valid.eq(logits.valid), logits.ready.eq(post.i.ready),
            post.i.payload.last.eq(beat.last), post.i.payload.payload.logit.eq(beat.data[0]),
            post.i.payload.payload.mask.eq(beat.mask[0]),
            post.i.payload.payload.key.eq(self._candidates.o),
            self._candidates.pop.eq(logits.valid & logits.ready),
            post.distance.eq(self._distances.o),
            self._distances.pop.eq(logits.valid & logits.ready & beat.last),
        ]
        kept = stream.Signature(config.softmax_config.input_layout).create()
        leaves = kept.valid & kept.ready
        m.d.comb += [
            kept.valid.eq(post.o.valid), post.o.ready.eq(kept.ready),
            kept.payload.data[0].eq(post.o.payload.payload.logit),
            kept.payload.mask.eq(post.o.payload.payload.mask), kept.payload.keep.eq(1),
            kept.payload.last.eq(post.o.payload.last),
        ]
        # As many as the softmax's stores and its pipeline can hold.
        softmax = config.softmax_config
        store = 1 << max(softmax.max_beats - 1, 1).bit_length()
        bound = softmax.passes * (store + softmax.max_beats) + 2 * softmax.latency + 8
        m.submodules.kept_keys = self._kept_keys = RowQueue(
            config.max_keys.bit_length(), 1 << (bound - 1).bit_length())
        m.d.comb += [self._kept_keys.i.eq(post.o.payload.payload.key),
                     self._kept_keys.push.eq(leaves)]
        return kept

    def _rows(self, m, issue, room):
        config, keys = self.config, self._keys
        m.submodules.columns = columns = ColumnSort(config, ColumnMerge.HEAD)
        m.submodules.search = search = GreedySearch(config, columns.element, columns.words)
        queries = self._search(m, columns, search)

        # The exact stages take one candidate after the other.
        found = search.o
        active, first = Signal.like(queries.payload.elements), Signal(init=1)
        active_last, set_end = Signal(), Signal()
        last = found.payload.last
        m.d.comb += [
            issue.eq(room & found.valid), found.ready.eq(room), keys.word.eq(found.payload.key),
            set_end.eq(Mux(first, queries.payload.last, active_last)),
            queries.ready.eq(issue & first), keys.release.eq(issue & last & set_end),
        ]
        with m.If(issue):
            m.d.sync += first.eq(last)
            with m.If(first):
                m.d.sync += [active.eq(queries.payload.elements),
                             active_last.eq(queries.payload.last)]
        self._note_row(m, issue & last, set_end)
        depth = 1 << (2 * self._logit_cycles(config) + 7).bit_length()
        m.submodules.candidates = self._candidates = RowQueue(len(found.payload.key) + 1, depth)
        m.d.comb += [self._candidates.i.eq(found.payload.key), self._candidates.push.eq(issue)]
        return active, last, keys.end

    def _note_row(self, m, row, set_end):
        # Rows wait for the selection, too.
        softmax = self.config.softmax_config
        rows = softmax.max_rows + 2 * softmax.latency + 64 + PostScore.ROWS + 1
        m.submodules.set_ends = self._set_ends = RowQueue(1, 1 << (rows - 1).bit_length())
        m.d.comb += [self._set_ends.i.eq(set_end), self._set_ends.push.eq(row)]

    def _search(self, m, columns, search):
        """Sort the sets, and search the queries that come; returns these as a stream."""
        config, keys = self.config, self._keys
        m.d.comb += [
            keys.preview_word.eq(columns.key), keys.preview_bank.eq(columns.bank),
            columns.vector.eq(keys.preview[0].data), columns.mask.eq(keys.preview[0].mask),
            columns.finished.eq(keys.finished), columns.place.eq(keys.place.word),
            columns.head_bank.eq(search.head_bank), columns.head_beat.eq(search.head_beat),
            search.low.eq(columns.low), search.high.eq(columns.high),
        ]
        for k in range(2):
            m.d.comb += [
                columns.ends[k].eq(keys.ends[k].word), search.ends[k].eq(keys.ends[k].word),
                search.count[k].eq(columns.count[k]), search.first[k].eq(columns.first[k]),
                columns.address[k].eq(search.address[k]), columns.lane[k].eq(search.lane[k]),
                search.sorted[k].eq(columns.o[k]),
            ]

        # Limits of the search: as they are, and as the query that waits found them.
        iterations = Signal(config.iteration_bits, init=config.iterations)
        distance = Signal(config.logit_bits, init=config.distance)
        own_iterations, own_distance = Signal.like(iterations), Signal.like(distance)
        with m.If(self.adjust):
            m.d.sync += [iterations.eq(self.iterations), distance.eq(self.distance)]
        with m.If(self.q.valid & self.q.ready):
            m.d.sync += [own_iterations.eq(iterations), own_distance.eq(distance)]

        taken, bank = Signal(), Signal()
        elements, full, set_end = self._queries(m, taken)
        layout = data.StructLayout({"elements": elements.shape(), "last": unsigned(1)})
        m.submodules.queries = queries = PipelineQueue(layout, search.ROWS)
        m.submodules.distances = self._distances = RowQueue(
            config.logit_bits, 1 << (search.ROWS + 2 * self._logit_cycles(config) + 7).bit_length())
        in_work = Signal(range(search.ROWS + 1))
        done = search.o.valid & search.o.ready & search.o.payload.last
        m.d.sync += in_work.eq(in_work + taken - done)

        over = taken & set_end
        ready = self._between(m, columns.done, over, "sorted")
        ahead = self._between(m, over, self._values.release, "ahead")
        m.d.comb += [
            taken.eq((ready != 0) & (self._values.complete > ahead) & full & search.ready
                     & (in_work != search.ROWS)),
            search.take.eq(taken), search.elements.eq(elements),
            search.iterations.eq(own_iterations), search.bank.eq(bank),
            queries.push.eq(taken), queries.i.elements.eq(elements), queries.i.last.eq(set_end),
            self._distances.i.eq(own_distance), self._distances.push.eq(taken),
        ]
        with m.If(over):
            m.d.sync += bank.eq(~bank)
        return queries.o

    def _value_word(self, m, accept, last):
        m.d.comb += self._kept_keys.pop.eq(accept)
        return self._kept_keys.o
