"""The selection of keys that a greedy search finds, as in approximate A3."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.choose import choose
from ...blocks.pipeline import delays
from ..key_numbers import KeyNumbers
from ..layouts import BeatTap, PlaceLayout, QueryLayout, RowLayout, WrittenKey
from ..parameters import LimitsLayout
from ..selected_rows import SelectedRows
from ..set_gate import SetsBetween
from .column_load import ColumnLoad
from .column_merge import ColumnMerge
from .column_sort import ColumnSort
from .live_keys import LiveKeys
from .search import GreedySearch
from .sorted_columns import SortedColumns

__all__ = ["SearchedKeys"]


class SearchedKeys(wiring.Component):
    """Queries meet candidates of a greedy search; see :class:`AttentionConfig`.

    The columns of K are sorted while the keys are loaded, or come sorted; a greedy search finds
    candidates. Of their exact logits those near the row's largest pass on
    (:class:`~rtl.attention.greedy.post_score.PostScore`). As in A3 (Ham et al., HPCA 2020);
    ``docs/attention.md`` lists the differences.

    Throughput: on average one query in :meth:`cycles_of` cycles; up to eight queries in flight even
    out their numbers. Latency :meth:`latency_of` cycles with one key. A set is sorted in
    ``config.sort_cycles(keys)`` cycles, while the sets before it run.

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
        A set's last query is taken.
    query_beat : In(BeatTap(config.vector_layout))
        Beat of the queries.
    key_beat : In(BeatTap(config.key_layout))
        Beat of the keys.
    written : In(WrittenKey(PlaceLayout(n, lanes), ArrayLayout(signed(bits), 0)))
        Key that is written to its store.
    preview_word : Out(range(words))
        Word to read at the store's second port. This and the next two only if the engine sorts.
    preview_bank : Out(1)
        Set that it is of.
    preview : In(ArrayLayout(vector, lanes))
        Keys that were read, a cycle later.
    c : In(stream.Signature(config.column_layout))
        Sorted columns, with ``config.sort`` "host": a set's are taken when its keys are there.
    limits : In(LimitsLayout(config))
        Iterations of the search and distance in logit steps for the next query. Only with scales at
        run time, and the next three without.
    adjust : In(1)
        Take ``iterations`` and ``distance`` for the queries whose last beat is accepted after this
        cycle. After reset the two are ``config.iterations`` and ``config.distance``.
    iterations : In(iteration_bits)
        Iterations of the search.
    distance : In(logit_bits)
        Distance in logit steps.
    broken : Out(2)
        The columns of each of the two sets are. This and the next one only with columns that come.
    error : Out(1)
        Pulses when columns that came are broken.
    o : Out(stream.Signature(SearchedKeys.layout(config)))
        Words of candidates. The row has the ``distance`` of its query.
    """

    #: As of :class:`~rtl.attention.every_key.EveryKey`.
    ahead = True
    chooses = True

    def __init__(self, config):
        self.config = config
        place = PlaceLayout(config.max_keys, config.lanes)
        vector = data.StructLayout({
            "data": QueryLayout(config)["elements"].shape, "mask": 1})
        source = {"c": In(stream.Signature(config.column_layout)), "broken": Out(2),
                  "error": Out(1)} if config.sort == "host" else {
            "preview_word": Out(range(config.max_beats)), "preview_bank": Out(1),
            "preview": In(data.ArrayLayout(vector, config.lanes))}
        limits = {"limits": In(LimitsLayout(config))} if config.run_time else {
            "adjust": In(1), "iterations": In(config.iteration_bits),
            "distance": In(config.logit_bits)}
        super().__init__({
            "query": In(stream.Signature(QueryLayout(config))), "ready": In(1), "bank": In(1),
            "ends": In(data.ArrayLayout(place, 2)), "over": Out(1),
            "query_beat": In(BeatTap(config.vector_layout)),
            "key_beat": In(BeatTap(config.key_layout)),
            "written": In(WrittenKey(place, config.unstored_layout)), **source,
            **limits,
            "o": Out(stream.Signature(self.layout(config))),
        })

    @staticmethod
    def layout(config):
        """Layout of a word."""
        return SelectedRows.layout(config, RowLayout(distance=config.logit_bits))

    @staticmethod
    def latency_of(config):
        """Cycles from a query to its word, with one key."""
        return GreedySearch.latency_of(config)

    @staticmethod
    def cycles_of(config, keys, kept=None):
        """Cycles per query, once the engine is full, whose candidates take so many on average."""
        return max(GreedySearch.cycles_of(config, keys),
                   -(-keys // config.lanes) if kept is None else kept)

    def elaborate(self, platform):
        m = Module()
        config, query = self.config, self.query.payload
        m.submodules.columns = columns = SortedColumns(config, ColumnMerge.HEAD)
        m.submodules.search = search = GreedySearch(config)
        m.submodules.rows = rows = SelectedRows(config, self.o.payload.row.shape(), search.ROWS)
        m.submodules.live = live = LiveKeys(config.max_keys)
        wiring.connect(m, search.o, rows.keys)
        wiring.connect(m, rows.o, wiring.flipped(self.o))
        m.submodules.numbers = numbers = KeyNumbers(config.max_keys, config.lanes)
        m.d.comb += [getattr(numbers, name).eq(getattr(self.written, name))
                     for name in ("write", "bank", "finished", "place")]
        m.d.comb += [numbers.ends.eq(self.ends),
                     live.write.eq(self.written.write), live.bank.eq(self.written.bank),
                     live.place.eq(numbers.number), live.mask.eq(self.key_beat.payload.mask)]
        count, done = (self._sort if config.sort == "hardware" else self._load)(
            m, columns, live, numbers)
        m.d.comb += [
            columns.head_bank.eq(search.head_bank), columns.head_beat.eq(search.head_beat),
            search.low.eq(columns.low), search.high.eq(columns.high),
        ]
        for k in range(2):
            m.d.comb += [
                search.ends[k].eq(numbers.last[k]), search.count[k].eq(count[k]),
                search.first[k].eq(live.first[k]), search.sorted[k].eq(columns.o[k]),
                columns.address[k].eq(search.address[k]), columns.lane[k].eq(search.lane[k]),
            ]

        own_iterations, own_distance = self.limits if config.run_time else self._adjusted(m)

        # Sets whose columns are there and that are not over.
        m.submodules.sorted = ordered = SetsBetween()
        taken = Signal()
        m.d.comb += [
            ordered.enters.eq(done), ordered.leaves.eq(self.over),
            taken.eq(self.query.valid & self.ready & (ordered.count != 0) & search.ready
                     & rows.available),
            self.query.ready.eq(taken), self.over.eq(taken & query.last),
            search.take.eq(taken), search.elements.eq(query.elements),
            search.iterations.eq(own_iterations), search.bank.eq(self.bank),
            rows.take.eq(taken), rows.elements.eq(query.elements),
            rows.row.set_end.eq(query.last), rows.row.distance.eq(own_distance),
        ]
        return m

    def _adjusted(self, m):
        """Limits of the search: as the query that waits found them."""
        config = self.config
        iterations = Signal(config.iteration_bits, init=config.iterations)
        distance = Signal(config.logit_bits, init=config.distance)
        own_iterations = Signal.like(iterations, name="own_iterations")
        own_distance = Signal.like(distance, name="own_distance")
        with m.If(self.adjust):
            m.d.sync += [iterations.eq(self.iterations), distance.eq(self.distance)]
        with m.If(self.query_beat.transfer):
            m.d.sync += [own_iterations.eq(iterations), own_distance.eq(distance)]
        return own_iterations, own_distance

    def _sort(self, m, columns, live, numbers):
        """Sort the columns.

        Returns the number of elements in those of each set, and whether a set's can be read from
        the next cycle on.
        """
        m.submodules.sort = sort = ColumnSort(self.config)
        lane = delays(m, sort.place.lane, 1, "preview_lane")[-1]
        m.d.comb += [
            self.preview_word.eq(sort.place.word), self.preview_bank.eq(sort.bank),
            sort.vector.eq(choose([key.data.as_value() for key in self.preview], lane)),
            sort.mask.eq(choose([key.mask for key in self.preview], lane)),
            sort.written.eq(numbers.number),
        ]
        self._fill(m, columns, sort, live, numbers)
        return live.count, sort.done

    def _load(self, m, columns, live, numbers):
        """Take the columns as they come, with returns as those of :meth:`_sort`."""
        m.submodules.load = load = ColumnLoad(self.config)
        wiring.connect(m, wiring.flipped(self.c), load.i)
        self._fill(m, columns, load, live, numbers)
        m.d.comb += [self.error.eq(load.error), self.broken.eq(Cat(load.broken))]
        return [Mux(broken, 0, count) for broken, count in
                zip(load.broken, live.count, strict=True)], load.done

    def _fill(self, m, columns, source, live, numbers):
        """Connect the memory of the columns with what fills it."""
        m.d.comb += [source.finished.eq(self.written.finished), columns.write.eq(source.write),
                     columns.i.eq(source.o)]
        for k in range(2):
            m.d.comb += [source.ends[k].eq(numbers.last[k]), source.count[k].eq(live.count[k])]
