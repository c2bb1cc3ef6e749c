"""First pass over a row: its beats wait for the row's maximum."""

from amaranth import Cat, Signal, unsigned
from amaranth.lib import data

from ..blocks.pipeline import delays
from ..stream.row_buffer import LATENCY, RowBuffer
from ..stream.row_words import RowWord
from .search import MaximumSearch
from .sink import with_sink

__all__ = ["FinalMaximum", "beat_buffer"]

# From this many lanes on, the digit-wise maximum is smaller than the tree.
RADIX_LANES = 8


class FinalMaximum:
    """Stage: the beats of a row, read once its maximum is known, as distances to it.

    The store is written as late as possible: the row's first beat is read in the cycle in which the
    maximum is known. Throughput one beat per cycle, rows back to back.

    Attributes
    ----------
    search : MaximumSearch
        Search for the maximum.
    maximum, write : int
        Cycles from a beat accepted until the maximum so far includes it, and until it is written.
    latency : int
        Cycles from a row's last beat accepted until its first beat is read.
    """

    def __init__(self, config):
        self.config = config
        self.search = MaximumSearch(config.bits, config.summands, radix=config.lanes >= RADIX_LANES,
                                    relaxed=True)
        self.maximum = self.search.latency + 1
        self.write = max(self.maximum - 1, 1)
        self.latency = self.write + LATENCY

    def __call__(self, m, beat):
        """Add the pass to ``m``.

        Parameters
        ----------
        beat : RowDatapath
            Component whose ports bring the beats: ``data``, ``live``, ``kept``, ``valid``,
            ``first``, ``end`` and, with a sink, ``row``.

        Returns
        -------
        rows : RowBuffer
            Store, with the beat that is read on ``o`` (``live``, ``keep`` and ``last``).
        distances : list of Signal(bits)
            Distance of each summand of that beat to its row's maximum; undefined where not live.
        """
        config = self.config
        late = max(self.write, self.search.latency)
        valids = delays(m, beat.valid, late, "valid")
        ends = delays(m, beat.valid & beat.end, self.write, "end")
        m.submodules.logits = rows = beat_buffer(
            config, {"data": data.ArrayLayout(unsigned(config.bits), config.summands),
                     "live": config.summands},
            maximum=RowWord(config.bits, self.maximum - self.write, short_path=True))
        # Offset binary orders the logits without a sign.
        sign = 1 << (config.bits - 1)
        elements, live = with_sink(m, config, beat)
        logits = [(x.as_unsigned() ^ sign)[:config.bits] for x in elements]
        data_late, live_late, kept_late = (
            delays(m, value, self.write, name)[-1]
            for value, name in ((Cat(logits), "logits"), (live, "live"), (beat.kept, "kept")))
        wait = self.search.latency
        maximum = self.search(m, logits, live, valids[wait],
                              delays(m, beat.first, wait, "first")[-1])
        m.d.comb += [
            rows.i.data.as_value().eq(data_late), rows.i.live.eq(live_late),
            rows.i.keep.eq(kept_late),
            rows.i.last.eq(ends[self.write]), rows.write.eq(valids[self.write]),
            rows.maximum_i.eq(maximum.o),
        ]
        distances = []
        for k in range(config.summands):
            distances.append(Signal(config.bits, name=f"distance_{k}"))
            m.d.comb += distances[-1].eq(rows.maximum - rows.o.data[k])
        return rows, distances


def beat_buffer(config, members, **words):
    """:class:`RowBuffer` of beats with these ``members``, and with each RowWord of ``words``."""
    layout = data.StructLayout({**members, "keep": config.lanes, "last": 1})
    return RowBuffer(layout, config.max_beats, words, max_rows=config.max_rows,
                     memory=config.memory)
