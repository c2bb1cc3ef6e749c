"""The attention engine with sets that stay and grow.

::

    c -> commands -> packets -> visible rows -> arrived rows
            |                                     |
            |                      q -> intake -> visible words -> dot array -> (bias) -> tail -> o
            |                                                       |            |        |
            '-> loads -> keys' store <- k --------------------------'       b ---'        |
            '-> loads -> values' store <- v ----------------------------------------------'
"""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.causes import Causes
from ...stream.fifo import Fifo
from ..dot_array import DotArray
from ..engine import tail_of
from ..logit_bias import LogitBias, biased
from ..query_intake import QueryIntake
from .arrival import ArrivedRows
from .commands import CommandSequencer
from .heads import HeadParameters
from .layouts import PacketLayout
from .rows import VisibleRows
from .store import ResidentStore
from .words import VisibleWords

__all__ = ["ResidentAttention"]

# Packets of queries that wait for those before them.
PACKETS = 8


class ResidentAttention(wiring.Component):
    """Attention of queries to sets that stay in the engine; see :class:`AttentionConfig`.

    Commands come on ``c``; the vectors of an append on ``k`` and ``v``, the queries of a packet on
    ``q``, each stream in the order of the commands and with ``last`` in the last beat of a
    command's vectors. Outputs come in the order of the queries.

    Throughput: one query in as many cycles as it sees words of keys, and no fewer than
    ``stream_beats``. Latency ``config.query_latency(keys)`` cycles from a query's last beat
    accepted to its output's first beat valid in an idle engine whose keys and values are there;
    they are 3 cycles after their last beat. Empty after reset, which takes a cycle a set.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.

    Members
    -------
    c : In(stream.Signature(CommandLayout()))
        Commands.
    q : In(stream.Signature(config.vector_layout))
        Queries.
    k : In(stream.Signature(config.key_layout))
        Keys.
    v : In(stream.Signature(config.value_layout))
        Values.
    p : In(stream.Signature(ParameterIntake.layout(config)))
        Parameters of heads, one beat for each command that loads some. Only with scales at run
        time.
    b : In(stream.Signature(bias_layout(config)))
        A row of biases for each output. Only with ``bias``.
    o : Out(stream.Signature(config.output_layout))
        One vector a query, ``last`` in the last beat of a packet; ``use`` is 1 for an answer that
        failed, which is 0, or undefined if its query was broken off or its biases do not fit.
    clear : In(1)
        Clear ``causes``.
    causes : Out(len(config.causes))
        What was wrong with commands and their vectors, as ``config.causes`` says. Sticky until
        reset or ``clear``.
    error : Out(1)
        One of ``causes``.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            **{name: (Out if name == "o" else In)(stream.Signature(layout))
               for name, layout in config.streams.items()},
            "clear": In(1), "causes": Out(len(config.causes)), "error": Out(1),
        })

    @classmethod
    def latency_of(cls, config):
        """Latency of a query of one word; see :attr:`AttentionConfig.latency`."""
        return (1 + DotArray.latency_of(config) + LogitBias.latency_of(config)
                + tail_of(config).latency_of(config))

    def elaborate(self, platform):
        m = Module()
        config, regions = self.config, self.config.regions
        m.submodules.commands = commands = CommandSequencer(regions, config.heads, config.run_time)
        m.submodules.keys = keys = ResidentStore(config.key_layout, config.vector_beats, regions,
                                                 memory=config.memory)
        m.submodules.values = values = ResidentStore(
            config.value_layout, config.value_beats, regions, memory=config.memory, cut=True)
        m.submodules.packets = packets = Fifo(PacketLayout(regions), PACKETS)
        m.submodules.rows = rows = VisibleRows(regions)
        m.submodules.arrived = arrived = ArrivedRows(regions)
        m.submodules.intake = intake = QueryIntake(config)
        m.submodules.words = words = VisibleWords(config, regions)
        m.submodules.dots = dots = DotArray(config, words.layout, hand_on=True)
        m.submodules.causes = causes = Causes(config.causes)
        logits = biased(m, self, dots.o, causes)
        m.submodules.tail = tail = tail_of(config)(config, logits.payload.shape(),
                                                   dots.word.shape())
        connect, flipped = wiring.connect, wiring.flipped
        for inner, port in ((commands.i, self.c), (keys.i, self.k), (values.i, self.v),
                            (intake.i, self.q), (tail.o, self.o)):
            connect(m, inner, flipped(port))
        connect(m, commands.keys, keys.load)
        connect(m, commands.values, values.load)
        connect(m, packets.o, rows.i)
        connect(m, rows.o, arrived.i)
        connect(m, arrived.o, words.i)
        connect(m, intake.o, words.query)
        connect(m, logits, tail.i)

        # Packets in the queue, which has no ready.
        waiting, push = Signal(range(packets.depth + 1)), commands.packets.valid
        m.d.comb += [commands.packets.ready.eq(waiting != packets.depth),
                     packets.push.eq(push & commands.packets.ready),
                     packets.i.eq(commands.packets.payload)]
        m.d.sync += waiting.eq(waiting + packets.push - (packets.o.valid & packets.o.ready))

        connect(m, words.o, dots.i)
        m.d.comb += [
            keys.word.eq(dots.word), dots.keys.eq(keys.o),
            values.word.eq(tail.word), tail.values.eq(values.o),
            keys.set.eq(arrived.set), values.set.eq(arrived.set),
            commands.asking.eq(arrived.set),
            arrived.keys.eq(keys.complete), arrived.values.eq(values.complete),
            arrived.left.eq(commands.left), arrived.aborted.eq(commands.aborted),
            commands.loading.eq(values.loading), values.limit.eq(commands.limit),
            values.aborted.eq(commands.cut),
            commands.idle.eq(keys.idle & values.idle),
            commands.waiting.eq(keys.waiting | values.waiting), commands.done.eq(tail.release),
        ]
        if config.run_time:
            m.submodules.heads = heads = HeadParameters(config, commands.PACKETS)
            connect(m, flipped(self.p), heads.i)
            connect(m, heads.logit, dots.scaling)
            connect(m, heads.output, tail.scaling)
            if config.sink:
                connect(m, heads.sink, tail.sink)
            m.d.comb += [heads.head.eq(commands.head), heads.keep.eq(commands.known),
                         heads.load.eq(commands.load), commands.loaded.eq(heads.loaded),
                         heads.accept.eq(packets.push)]
        m.d.comb += [
            causes.refused.eq(commands.refused), causes.unknown.eq(commands.unknown),
            causes.loads.eq(keys.broken | values.broken | tail.error),
            causes.queries.eq(words.broken), causes.within.eq(intake.within),
            causes.clear.eq(self.clear),
            self.causes.eq(causes.causes), self.error.eq(causes.error),
        ]
        return m
