"""Attention of queries to selected keys: what the selections share."""

from amaranth import Mux, Signal, unsigned
from amaranth.lib import data

from ..stream.fifo import Fifo, FifoStorage
from .engine import DenseAttention

__all__ = ["SelectiveAttention"]


class SelectiveAttention(DenseAttention):
    """As :class:`~rtl.attention.engine.DenseAttention`, one selected key after the other.

    A subclass makes a stream of the indices of each query's keys; this class reads these keys, and
    notes their indices for the values that belong to their weights.
    """

    def _wait(self, m, elements, last, push, depth):
        """FIFO of queries, ``elements`` and ``last``, while their keys are selected."""
        layout = data.StructLayout({"elements": elements.shape(), "last": unsigned(1)})
        m.submodules.queries = queries = Fifo(layout, depth)
        m.d.comb += [queries.push.eq(push), queries.i.elements.eq(elements),
                     queries.i.last.eq(last)]
        return queries.o

    def _selected_rows(self, m, issue, credit, selected, queries):
        """Issue the keys on the stream ``selected``, those of one of ``queries`` after the other.

        As :meth:`_rows`, with its returns.
        """
        keys = self._keys
        active, first = Signal.like(queries.payload.elements), Signal(init=1)
        active_last, set_end = Signal(), Signal()
        last = selected.payload.last
        m.d.comb += [
            issue.eq(credit & selected.valid), selected.ready.eq(credit),
            keys.word.eq(selected.payload.key),
            set_end.eq(Mux(first, queries.payload.last, active_last)),
            queries.ready.eq(issue & first), keys.release.eq(issue & last & set_end),
        ]
        with m.If(issue):
            m.d.sync += first.eq(last)
            with m.If(first):
                m.d.sync += [active.eq(queries.payload.elements),
                             active_last.eq(queries.payload.last)]
        self._note_row(m, issue & last, set_end)
        return active, last, keys.end

    def _note_keys(self, m, push, key, waiting=0):
        """FIFO of the key that each logit is of, until its weight reads its value.

        As deep as the softmax's stores and pipeline hold logits, and ``waiting`` before it.
        """
        softmax = self.config.softmax_config
        store = 1 << max(softmax.max_beats - 1, 1).bit_length()
        bound = (waiting + softmax.passes * (store + softmax.max_beats)
                 + 2 * softmax.latency + 8)
        m.submodules.kept_keys = self._kept_keys = FifoStorage(
            len(key), 1 << (bound - 1).bit_length())
        m.d.comb += [self._kept_keys.i.eq(key), self._kept_keys.push.eq(push)]

    def _value_word(self, m, accept, last):
        m.d.comb += self._kept_keys.pop.eq(accept)
        return self._kept_keys.o
