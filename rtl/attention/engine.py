"""Dense attention: every query meets every key.

Three stages work on three queries at a time: dot products and logits of one, softmax of the one
before, weighted sum of the one before that. ::

    k -> store --.                                            v -> store --.
    q -> query -> dot products -> requantise -> queue -> softmax -> multiply-accumulate
                                                                  o <- queue <- requantise

The dot products and the weighted sums are pipelines that never stall: what enters them takes a
credit of the FIFO behind them, so that a stalled output stops no more than it must.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.pipeline import delays
from ..blocks.products import DotProduct, MultiplyAccumulate
from ..blocks.requantise import RequantiserPipeline
from ..stream.credit import Credit
from ..stream.fifo import Fifo, FifoStorage
from .vector_store import VectorStore

__all__ = ["DenseAttention"]


class DenseAttention(wiring.Component):
    """Attention of queries to a set of keys and values; see :class:`AttentionConfig`.

    K and V are loaded vector by vector into memories of two sets. A set is the keys up to ``last``
    and as many values. The queries up to ``last`` belong to the first set, the next ones to the
    second, and so on: the last query of a set frees its memory for the set after the next one. A
    query starts once its set is complete.

    Throughput: one query in ``max(ceil(keys / lanes), vector_beats)`` cycles, whatever set it
    belongs to, with K and V loaded meanwhile; a causal query counts the keys that it sees. Latency
    ``config.query_latency(keys)`` cycles from a query's last beat accepted to its output's first
    beat valid in an idle engine. Empty after reset.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.

    Members
    -------
    q : In(stream.Signature(config.vector_layout))
        Queries.
    k : In(stream.Signature(config.key_layout))
        Keys.
    v : In(stream.Signature(config.value_layout))
        Values.
    o : Out(stream.Signature(config.output_layout))
        One vector per query, ``last`` in the last beat of a set's last one.
    error : Out(1)
        A set was too long, ``last`` was within a vector, or a set had other numbers of keys and
        values. The set's outputs are wrong; those of other sets are not. Sticky until reset.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            **self._controls(config),
            **{name: (Out if name == "o" else In)(stream.Signature(layout))
               for name, layout in config.streams.items()},
            "error": Out(1),
        })

    @staticmethod
    def _controls(config):
        """Ports that are no streams, by the names of ``config.controls``."""
        return {}

    @property
    def _preview(self):
        """Whether the keys have a second read port."""
        return False

    # Cycles ------------------------------------------------------------------------------------

    @staticmethod
    def _logit_cycles(config):
        """From the address of the keys to their logits."""
        known = config.known_dims
        return (1 + DotProduct.stages(config.dim - known, known > 0)
                + RequantiserPipeline.stages(config.logit))

    @staticmethod
    def _sum_cycles(config):
        """From a row's last weights to the sum of the row."""
        return 1 + MultiplyAccumulate.stages(config.lanes)

    @classmethod
    def _output_cycles(cls, config):
        """From the sum of a row to its first beat of outputs."""
        return (config.vector_beats > 1) + 1 + cls._requantise_stages(config)

    @staticmethod
    def _requantise_stages(config):
        return RequantiserPipeline.stages(config.output)

    @classmethod
    def latency_of(cls, config):
        """Latency of a configuration; see :attr:`AttentionConfig.latency`."""
        return (1 + cls._logit_cycles(config) + 1 + config.softmax_config.latency
                + cls._sum_cycles(config) + cls._output_cycles(config) + 1)

    # Structure ---------------------------------------------------------------------------------

    def elaborate(self, platform):
        m = Module()
        config = self.config
        sizes = (config.vector_beats, config.lanes, config.max_keys)
        m.submodules.keys = self._keys = VectorStore(
            config.key_layout, *sizes, memory=config.memory, first=config.known_dims,
            preview=self._preview)
        m.submodules.values = self._values = VectorStore(
            config.value_layout, *sizes, memory=config.memory)
        m.submodules.softmax = softmax = config.softmax_config.create()
        connect = wiring.connect
        connect(m, wiring.flipped(self.k), self._keys.i)
        connect(m, wiring.flipped(self.v), self._values.i)

        logits = self._logits(m)
        connect(m, logits, softmax.i)
        self._weighted_sum(m, softmax.o)
        mismatch = self._mismatch(m)
        with m.If(self._keys.error | self._values.error | self._broken | mismatch | softmax.error):
            m.d.sync += self.error.eq(1)
        return m

    def _logits(self, m):
        """Stream of rows of logits, of the queries that come."""
        config, keys = self.config, self._keys
        latency = self._logit_cycles(config)
        m.submodules.logits = queue = Fifo(config.softmax_config.input_layout, latency + 2)
        m.submodules.logit_credit = credit = Credit(queue.depth)
        issue = Signal()
        m.d.comb += [credit.issue.eq(issue), credit.done.eq(queue.o.valid & queue.o.ready)]

        query, last, end = self._rows(m, issue, self._may_issue(credit.available))

        # The query leaves its register when the keys leave the memory.
        element = signed(config.bits)
        low, high = config.dot_range
        kept = Cat(Const(1, 1), *(~last | (end.lane >= k) for k in range(1, config.lanes)))
        wait = latency - 1
        entry = queue.i
        known = config.known_dims
        addend, offset = self._known(m)
        for lane in range(config.lanes):
            m.submodules[f"dot_{lane}"] = dot = self._dot_product(
                element, config.dim - known, len(addend))
            m.submodules[f"logit_{lane}"] = requantise = RequantiserPipeline(
                config.logit, low, high, unsigned(len(dot.o)), dot.offset + offset)
            self._operands(m, dot, query[known:], keys.o[lane].data)
            m.d.comb += dot.addend.eq(addend)
            m.d.comb += [
                requantise.i.eq(dot.o), entry.data[lane].eq(requantise.o),
                entry.mask[lane].eq(delays(m, keys.o[lane].mask, wait, f"mask_{lane}")[-1]),
            ]
        m.d.comb += [
            entry.keep.eq(delays(m, kept, latency, "kept")[-1]),
            entry.last.eq(delays(m, last, latency, "last")[-1]),
            queue.push.eq(delays(m, issue, latency, "issued")[-1]),
        ]
        return queue.o

    def _may_issue(self, credit):
        """Whether a word of keys may issue, given credit of the queue of logits."""
        return credit

    def _dot_product(self, element, count, addend_bits):
        """Pipeline of the dot products of one lane."""
        return DotProduct(element, element, count, addend_bits)

    def _operands(self, m, dot, query, key):
        """Connect the pipeline to the elements of the query and of the key that was read."""
        m.d.comb += [port.eq(query[j]) for j, port in enumerate(dot.a)]
        m.d.comb += [port.eq(key[j]) for j, port in enumerate(dot.b)]

    def _known(self, m):
        """Known part of the dot product, a cycle after the elements, and its offset."""
        return Const(0, 0), 0

    def _rows(self, m, issue, credit):
        """Issue the words of keys that each query meets, a query behind the other.

        Raises ``issue`` for a word of keys, given ``credit``. Returns the query's elements, a cycle
        later, whether the word is the query's last one, and the place of its last key.
        """
        config, keys = self.config, self._keys
        taken = Signal()
        pending, pending_full, pending_last = self._queries(m, taken)
        active = Signal.like(pending)
        active_last, set_end = Signal(), Signal()
        word = Signal(range(keys.words))
        first, last = Signal(), Signal()
        # Sets whose keys are not needed any more, but whose values are.
        ahead = self._between(m, keys.release, self._values.release, "ahead")
        end = keys.end
        if config.causal:
            seen = Signal(keys.place_layout)
            end = seen
        start = pending_full & (keys.complete != 0) & self._may_start(ahead)
        m.d.comb += [
            first.eq(word == 0), last.eq(word == end.word), keys.word.eq(word),
            taken.eq(issue & first),
            issue.eq(credit & (~first | start)),
            set_end.eq(Mux(first, pending_last, active_last)),
            keys.release.eq(issue & last & set_end),
        ]
        with m.If(issue):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
            with m.If(first):
                m.d.sync += [active.eq(pending), active_last.eq(pending_last)]
        if config.causal:
            with m.If(keys.release):
                m.d.sync += seen.eq(0)
            with m.Elif(issue & last & (seen != keys.end)):
                m.d.sync += seen.lane.eq(seen.lane + 1)
                with m.If(seen.lane == config.lanes - 1):
                    m.d.sync += [seen.lane.eq(0), seen.word.eq(seen.word + 1)]

        self._note_row(m, issue & last, set_end)
        return active, last, end

    def _may_start(self, ahead):
        """Whether the values of the set are there, ``ahead`` sets before theirs being in use."""
        return self._values.complete > ahead

    @staticmethod
    def _between(m, enters, leaves, name):
        """Number of sets, up to 2, that have entered one stage and not left another."""
        count = Signal(2, name=name)
        with m.If(enters & ~leaves):
            m.d.sync += count.eq(count + 1)
        with m.Elif(leaves & ~enters):
            m.d.sync += count.eq(count - 1)
        return count

    def _note_row(self, m, row, set_end):
        """FIFO that tells the weighted sums whether a row ends its set."""
        softmax = self.config.softmax_config
        rows = softmax.most_rows + 2 * softmax.latency + 64
        m.submodules.set_ends = self._set_ends = FifoStorage(1, 1 << (rows - 1).bit_length())
        m.d.comb += [self._set_ends.i.eq(set_end), self._set_ends.push.eq(row)]

    def _value_word(self, m, accept, last):
        """Index of the word of values that the weights at hand belong to."""
        word = Signal(range(self._values.words))
        with m.If(accept):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        return word

    def _queries(self, m, taken):
        """Register of the next query: its elements, whether it is full, whether it ends its set."""
        config, beat = self.config, self.q.payload
        element = data.ArrayLayout(signed(config.bits), config.dim)
        elements, full, last = Signal(element), Signal(), Signal()
        transfer, whole = Signal(), Signal()
        count = Signal(range(config.vector_beats))
        self._broken = Signal()
        m.d.comb += [
            self.q.ready.eq(~full | taken),
            transfer.eq(self.q.valid & self.q.ready),
            whole.eq(count == config.vector_beats - 1),
            self._broken.eq(transfer & beat.last & ~whole),
        ]
        with m.If(taken):
            m.d.sync += full.eq(0)
        with m.If(transfer):
            width = len(beat.data.as_value())
            m.d.sync += [
                elements.as_value().eq(Cat(elements.as_value()[width:], beat.data)),
                count.eq(count + 1), last.eq(beat.last),
            ]
            with m.If(whole | beat.last):
                m.d.sync += [count.eq(0), full.eq(1)]
        return elements, full, last

    def _weighted_sum(self, m, weights):
        """Weighted sums of the values, requantised, as the engine's output stream."""
        config, values = self.config, self._values
        cycles = self._sum_cycles(config)

        # A row may end when its sums find the output free, and its outputs the queue.
        accept, end = Signal(), Signal()
        queue, credit, spacing = self._output_queue(m, end)
        m.d.comb += [
            weights.ready.eq(~weights.payload.last | ((spacing == 0) & credit.available)),
            accept.eq(weights.valid & weights.ready),
            end.eq(accept & weights.payload.last),
        ]

        # Values are read while the weights wait; a weight of 0 stands for none.
        starts, first = Signal(init=1), Signal()
        word = self._value_word(m, accept, weights.payload.last)
        held = Signal(data.ArrayLayout(config.weight_bits, config.lanes), name="weights")
        m.d.comb += [values.word.eq(word), values.release.eq(end & self._set_ends.o),
                     self._set_ends.pop.eq(end)]
        m.d.sync += [held.eq(Mux(accept, weights.payload.data.as_value(), 0)),
                     first.eq(accept & starts)]
        with m.If(accept):
            m.d.sync += starts.eq(weights.payload.last)
        sums = self._accumulators(m, held, first)
        done = delays(m, end, cycles, "done")[-1]
        last = delays(m, end & self._set_ends.o, cycles, "set_done")[-1]
        self._outputs(m, sums, done, last, queue)
        wiring.connect(m, queue.o, wiring.flipped(self.o))

    def _output_queue(self, m, end, further=0):
        """Queue of the outputs, its credit in rows, and the cycles until a row's sums may end.

        The queue holds the rows in flight, whose beats come up to ``further`` cycles later than
        those of other rows; a row's credit returns with its last beat.
        """
        config = self.config
        beats = config.vector_beats
        # A row's beats leave the queue so many cycles after its last weights came.
        total = self._sum_cycles(config) + self._output_cycles(config) + beats + 2 + further
        rows = -(-total // beats) + 1
        m.submodules.outputs = queue = Fifo(config.output_layout, rows * beats)
        m.submodules.output_credit = credit = Credit(rows)
        spacing = Signal(range(max(beats, 2)))
        left, leaving = Signal(range(beats)), Signal()
        m.d.comb += [leaving.eq(self.o.valid & self.o.ready & (left == beats - 1)),
                     credit.issue.eq(end), credit.done.eq(leaving)]
        with m.If(end):
            m.d.sync += spacing.eq(beats - 1)
        with m.Elif(spacing != 0):
            m.d.sync += spacing.eq(spacing - 1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += left.eq(Mux(left == beats - 1, 0, left + 1))
        return queue, credit, spacing

    def _accumulators(self, m, weights, first):
        """Running sums of the values that were read, times these weights."""
        config, values = self.config, self._values
        low, high = config.sum_range
        sums = []
        for j in range(config.dim):
            m.submodules[f"sum_{j}"] = accumulator = MultiplyAccumulate(
                unsigned(config.weight_width), signed(config.bits), config.lanes, low, high)
            m.d.comb += accumulator.first.eq(first)
            m.d.comb += [accumulator.a[k].eq(weights[k]) for k in range(config.lanes)]
            m.d.comb += [accumulator.b[k].eq(values.o[k].data[j]) for k in range(config.lanes)]
            sums.append(accumulator.o)
        return sums

    def _outputs(self, m, sums, done, last, queue):
        """Requantise the sums of a row, a beat of outputs per cycle, into the queue."""
        config = self.config
        beats, lanes = config.vector_beats, config.io_lanes
        if beats > 1:
            group = Signal(range(beats))
            emitting, ending = Signal(), Signal()
            held = []
            for j, total in enumerate(sums):
                held.append(Signal.like(total, name=f"held_{j}", reset_less=True))
                with m.If(done):
                    m.d.sync += held[-1].eq(total)
            with m.If(done):
                m.d.sync += [emitting.eq(1), ending.eq(last), group.eq(0)]
            with m.Else():
                m.d.sync += group.eq(group + 1)
                with m.If(group == beats - 1):
                    m.d.sync += emitting.eq(0)
            chosen = [Array(held[k::lanes])[group] for k in range(lanes)]
            valid, last = emitting, ending & (group == beats - 1)
        else:
            chosen, valid = sums, done
        for k, total in enumerate(chosen):
            selected = Signal.like(sums[0], name=f"selected_{k}", reset_less=True)
            m.submodules[f"output_{k}"] = requantise = self._requantiser(m, selected.shape())
            m.d.sync += selected.eq(total)
            m.d.comb += [requantise.i.eq(selected), queue.i.data[k].eq(requantise.o)]
        cycles = 1 + self._requantise_stages(config)
        m.d.comb += [queue.push.eq(delays(m, valid, cycles, "output_valid")[-1]),
                     queue.i.last.eq(delays(m, last, cycles, "output_last")[-1])]

    def _requantiser(self, m, shape):
        """Pipeline from a sum to an output element."""
        low, high = self.config.sum_range
        return RequantiserPipeline(self.config.output, low, high, shape)

    def _mismatch(self, m):
        """Whether a set that has become complete has other numbers of keys and values."""
        keys, values = self._keys, self._values
        # Sets of keys less sets of values that have come; the one that is behind compares.
        lead = Signal(signed(3))
        m.d.sync += lead.eq(lead + keys.finished - values.finished)
        mismatch = Signal()
        with m.If(keys.finished & (lead < 0)):
            m.d.comb += mismatch.eq(_differ(keys.place, _of_bank(values.ends, keys.bank)))
        with m.Elif(values.finished & (lead > 0)):
            m.d.comb += mismatch.eq(_differ(values.place, _of_bank(keys.ends, values.bank)))
        with m.Elif(keys.finished & values.finished):
            m.d.comb += mismatch.eq(_differ(keys.place, values.place))
        return mismatch


def _of_bank(places, bank):
    return Mux(bank, places[1], places[0])


def _differ(one, other):
    return Cat(one) != Cat(other)
