"""Approximate attention: exact attention to those keys only that a greedy search finds."""

from amaranth import Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from ...stream.credit import Credit
from ...stream.fifo import FifoStorage
from ..selective import SelectiveAttention
from .column_load import ColumnLoad
from .column_merge import ColumnMerge
from .column_sort import ColumnSort
from .live_keys import LiveKeys
from .post_score import PostScore
from .search import GreedySearch
from .sorted_columns import SortedColumns

__all__ = ["GreedyAttention"]


class GreedyAttention(SelectiveAttention):
    """Attention of queries to candidates of a greedy search; see :class:`AttentionConfig`.

    As :class:`~rtl.attention.engine.DenseAttention`, with three stages more: the columns of K are
    sorted while the keys are loaded, or come sorted; a greedy search finds candidates; of their
    exact logits those near the row's largest pass on. As in A3 (Ham et al., HPCA 2020);
    ``docs/attention.md`` lists the differences.

    Throughput: on average one query in ``config.query_cycles(keys, candidates)`` cycles; up to
    eight queries in flight even out their numbers. A set is sorted in
    ``config.sort_cycles(keys)`` cycles, while the sets before it run.

    Members
    -------
    c : In(stream.Signature(config.column_layout))
        Sorted columns, with ``config.sort`` "host": a set's are taken when its keys are there.
    adjust : In(1)
        Take ``iterations`` and ``distance`` for the queries whose last beat is accepted after this
        cycle. After reset the two are ``config.iterations`` and ``config.distance``.
    iterations : In(iteration_bits)
        Iterations of the search.
    distance : In(logit_bits)
        Distance in logit steps.
    """

    @staticmethod
    def _controls(config):
        return {"adjust": In(1), "iterations": In(config.iteration_bits),
                "distance": In(config.logit_bits)}

    @property
    def _preview(self):
        return self.config.sort == "hardware"

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
        self._note_keys(m, leaves, post.o.payload.payload.key)
        return kept

    def _rows(self, m, issue, credit):
        config = self.config
        self._bad_columns = Signal()
        m.submodules.columns = columns = SortedColumns(config, ColumnMerge.HEAD)
        m.submodules.search = search = GreedySearch(config)
        queries = self._search(m, columns, search)
        depth = 1 << (2 * self._logit_cycles(config) + 7).bit_length()
        key = search.o.payload.key
        m.submodules.candidates = self._candidates = FifoStorage(len(key) + 1, depth)
        m.d.comb += [self._candidates.i.eq(key), self._candidates.push.eq(issue)]
        return self._selected_rows(m, issue, credit, search.o, queries)

    def _note_row(self, m, row, set_end):
        # Rows wait for the selection, too.
        softmax = self.config.softmax_config
        rows = softmax.most_rows + 2 * softmax.latency + 64 + PostScore.ROWS + 1
        m.submodules.set_ends = self._set_ends = FifoStorage(1, 1 << (rows - 1).bit_length())
        m.d.comb += [self._set_ends.i.eq(set_end), self._set_ends.push.eq(row)]

    def _search(self, m, columns, search):
        """Sort the sets, and search the queries that come; returns these as a stream."""
        config, keys = self.config, self._keys
        m.submodules.live = live = LiveKeys(config.max_keys)
        m.d.comb += [live.write.eq(keys.write), live.bank.eq(keys.bank),
                     live.place.eq(keys.place.word), live.mask.eq(self.k.payload.mask)]
        count, done = (self._sort if config.sort == "hardware" else self._load)(m, columns, live)
        m.d.comb += [
            columns.head_bank.eq(search.head_bank), columns.head_beat.eq(search.head_beat),
            search.low.eq(columns.low), search.high.eq(columns.high),
        ]
        for k in range(2):
            m.d.comb += [
                search.ends[k].eq(keys.ends[k].word), search.count[k].eq(count[k]),
                search.first[k].eq(live.first[k]), search.sorted[k].eq(columns.o[k]),
                columns.address[k].eq(search.address[k]), columns.lane[k].eq(search.lane[k]),
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
        queries = self._wait(m, elements, set_end, taken, search.ROWS)
        m.submodules.distances = self._distances = FifoStorage(
            config.logit_bits, 1 << (search.ROWS + 2 * self._logit_cycles(config) + 7).bit_length())
        # Queries in flight, from here to their last exact dot product.
        m.submodules.query_credit = credit = Credit(search.ROWS)
        m.d.comb += [credit.issue.eq(taken), credit.done.eq(
            search.o.valid & search.o.ready & search.o.payload.last)]

        over = taken & set_end
        ready = self._between(m, done, over, "sorted")
        ahead = self._between(m, over, self._values.release, "ahead")
        m.d.comb += [
            taken.eq((ready != 0) & (self._values.complete > ahead) & full & search.ready
                     & credit.available),
            search.take.eq(taken), search.elements.eq(elements),
            search.iterations.eq(own_iterations), search.bank.eq(bank),
            self._distances.i.eq(own_distance), self._distances.push.eq(taken),
        ]
        with m.If(over):
            m.d.sync += bank.eq(~bank)
        return queries

    def _sort(self, m, columns, live):
        """Sort the columns.

        Returns the number of elements in those of each set, and whether a set's can be read from
        the next cycle on.
        """
        config, keys = self.config, self._keys
        m.submodules.sort = sort = ColumnSort(config)
        m.d.comb += [
            keys.preview_word.eq(sort.key), keys.preview_bank.eq(sort.bank),
            sort.vector.eq(keys.preview[0].data), sort.mask.eq(keys.preview[0].mask),
            sort.place.eq(keys.place.word),
        ]
        self._fill(m, columns, sort, live)
        return live.count, sort.done

    def _load(self, m, columns, live):
        """Take the columns as they come, with returns as those of :meth:`_sort`."""
        m.submodules.load = load = ColumnLoad(self.config)
        wiring.connect(m, wiring.flipped(self.c), load.i)
        self._fill(m, columns, load, live)
        m.d.comb += self._bad_columns.eq(load.error)
        return [Mux(broken, 0, count) for broken, count in
                zip(load.broken, live.count, strict=True)], load.done

    def _fill(self, m, columns, source, live):
        """Connect the memory of the columns with what fills it."""
        keys = self._keys
        m.d.comb += [source.finished.eq(keys.finished), columns.write.eq(source.write),
                     columns.i.eq(source.o)]
        for k in range(2):
            m.d.comb += [source.ends[k].eq(keys.ends[k].word), source.count[k].eq(live.count[k])]

    def _mismatch(self, m):
        return super()._mismatch(m) | self._bad_columns
