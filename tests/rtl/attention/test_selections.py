"""A selection of the user's own: one component, with the ports that every selection has."""

import numpy as np
from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

import rtl
from rtl.attention.engine import Attention as Engine
from rtl.attention.every_key import EveryKey
from rtl.attention.layouts import PlaceLayout, QueryLayout, RowLayout, WordLayout
from rtl.attention.selections import SELECTIONS
from sim import model
from sim.testing.attention import random_set, run_sets

Attention = rtl.unit("attention")


class EvenWords(wiring.Component):
    """Words 0, 2, 4 and so on, the highest one first."""

    ahead = False
    chooses = True

    def __init__(self, config):
        super().__init__({
            "query": In(stream.Signature(QueryLayout(config))), "ready": In(1), "bank": In(1),
            "ends": In(data.ArrayLayout(PlaceLayout(config.max_keys, config.lanes), 2)),
            "over": Out(1), "o": Out(stream.Signature(self.layout(config)))})

    @staticmethod
    def layout(config):
        return WordLayout(config, range(config.max_beats), RowLayout())

    latency_of = staticmethod(EveryKey.latency_of)

    def elaborate(self, platform):
        m = Module()
        word, end = self.o.payload, Mux(self.bank, self.ends[1].word, self.ends[0].word)
        place, started, set_end, transfer = Signal(len(word.word)), Signal(), Signal(), Signal()
        m.d.comb += [
            word.first.eq(~started), word.word.eq(Mux(started, place, end & ~1)),
            word.last.eq(word.word == 0), word.keep.eq(~0), word.query.eq(self.query.p.elements),
            word.row.set_end.eq(Mux(started, set_end, self.query.p.last)),
            self.o.valid.eq(started | (self.query.valid & self.ready)),
            transfer.eq(self.o.valid & self.o.ready), self.query.ready.eq(transfer & ~started),
            self.over.eq(transfer & word.last & word.row.set_end),
        ]
        with m.If(transfer):
            m.d.sync += [started.eq(~word.last), place.eq(word.word - 2),
                         set_end.eq(word.row.set_end)]
        return m


def test_selection_of_the_users_own(monkeypatch):
    monkeypatch.setitem(SELECTIONS, "even", EvenWords)
    config = Attention(dim=4, io_lanes=4, max_keys=24, lanes=2)

    class Even:
        """The configuration, with that selection."""

        select = "even"

        def __getattr__(self, name):
            return getattr(config, name)

    random = np.random.default_rng(3)
    # Whole words: their order does not count then.
    sets = [random_set(config, random, keys) for keys in (24, 2, 4, 10, 6, 24)]
    outputs, cycles = run_sets(Engine(Even()), sets, gaps=0.2, stalls=0.2)
    for one, found in zip(sets, outputs, strict=True):
        words = len(one.k) // 2
        chosen = np.concatenate([[2 * n, 2 * n + 1] for n in range((words - 1) & ~1, -1, -2)])
        y = model.run(config, one.q, one.k[chosen], one.v[chosen], mask=one.mask[chosen])
        assert found == y.tolist()
    assert cycles["error"] == 0
