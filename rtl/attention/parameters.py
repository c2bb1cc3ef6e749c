"""Parameters of a set at run time: its scales, and what its selection goes by, as a stream.

What a host sends is made by :class:`SetParameters`; what the parts of the engine are given is laid
out by :class:`ScalingLayout`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from amaranth import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..data_sheet import Format
from ..fixed import MULTIPLIER_BITS, SHIFT_BITS, Scaling, signed_range
from ..stream.credit import Credit
from ..stream.fifo import Fifo, FifoStorage
from .sink import Sink, SinkLayout
from .vector_beat import VectorLayout

__all__ = ["WORDS", "LimitsLayout", "ParameterIntake", "ScalingLayout", "SetParameters",
           "parameter_format"]

# Sets whose parameters are inside: two in the stores, some in the pipelines, some ahead.
SETS = 8

WORD_BITS = 16
#: Words of a beat: four of scales, and four more where there is a selection or a sink.
WORDS = 4
# Words of the limits; those of the sink follow.
LIMITS = 2


class ScalingLayout(data.StructLayout):
    """Scale of a requantiser, as of :class:`rtl.fixed.Scaling`.

    Parameters
    ----------
    offset_bits : int
        Width of the offset; 0 for none.

    Members
    -------
    multiplier : unsigned(16)
        Factor.
    shift : unsigned(6)
        Fraction bits of the factor.
    offset : signed(offset_bits)
        Offset in steps of the result. Absent without one.
    """

    def __init__(self, offset_bits=0):
        super().__init__({"multiplier": unsigned(MULTIPLIER_BITS), "shift": unsigned(SHIFT_BITS),
                          **({"offset": signed(offset_bits)} if offset_bits else {})})


class LimitsLayout(data.ArrayLayout):
    """What a selection goes by: a word for each of ``config.limits``.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    """

    def __init__(self, config):
        super().__init__(unsigned(WORD_BITS), len(config.limits))


@dataclasses.dataclass(frozen=True)
class SetParameters:
    """What a set is computed with: ``x = sat(round(s R) + o)`` and ``y = sat(round(a T))``.

    Attributes
    ----------
    logit : Scaling
        ``R`` as multiplier and shift, and the offset ``o`` in logit steps.
    output : Scaling
        ``T`` as multiplier and shift; its offset is 0. In one pass the top bit of the multiplier is
        set, or the row's factor has as many bits less.
    limits : tuple of int
        What the selection goes by, as ``config.limits`` names it.
    sink : Sink or None
        The sink of the rows; None without ``config.sink``.
    """

    logit: Scaling
    output: Scaling
    limits: tuple[int, ...] = ()
    sink: Sink | None = None

    @classmethod
    def of(cls, config, *, offset: int = 0, with_sink: bool = True,
           **values: float) -> SetParameters:
        """Return those of real scales, and of what the selection goes by.

        Parameters
        ----------
        config : AttentionConfig
            Configuration; its own scales hold where none are given.
        offset : int
            Offset of the logits, in logit steps.
        with_sink : bool
            Whether the rows have a sink, with ``config.sink``.
        values : float
            ``query_scale``, ``key_scale``, ``value_scale`` and ``output_scale``: what a step of
            each is worth; ``sink_logit``, in logit steps, with the offset; and those of
            ``config.limits``: ``mean_shift``, ``threshold`` or ``top_k``, or ``iterations`` and
            ``distance``.

        Raises
        ------
        ConfigError
            If a value is out of its range, or ``config`` has no such parameter.
        ValueError
            If the offset, the iterations or the distance is out of its range.
        """
        search = {name: values.pop(name) for name in ("iterations", "distance")
                  if name in values and name in config.limits}
        config.check_names(values)
        config = dataclasses.replace(config, **values)
        low, high = signed_range(config.logit_bits)
        if not low <= offset <= high:
            raise ValueError(f"Offset of the logits must be in {low}..{high}, not {offset}")
        limits = tuple(search.get(name, getattr(config, name)) for name in config.limits)
        bits = {"iterations": min(config.iteration_bits, WORD_BITS),
                "distance": config.logit_bits}
        for name, value in zip(config.limits, limits, strict=True):
            most = (1 << bits.get(name, WORD_BITS)) - 1
            if not 0 <= value <= most:
                raise ValueError(f"Parameter {name} must be in 0..{most} for scales \"run-time\", "
                                 f"not {value}")
        return cls(Scaling(config.logit.multiplier, config.logit.shift, offset),
                   Scaling(config.output.multiplier, config.output.shift), limits,
                   Sink(config.sink_logit, with_sink) if config.sink else None)

    @property
    def words(self) -> tuple[int, ...]:
        """Elements of the beat that carries them, unsigned.

        Multiplier of the logits; their offset, in two's complement; multiplier of the outputs;
        shift of the logits in bits 0 to 5, and that of the outputs in bits 8 to 13. With a
        selection or a sink four more: two limits; the sink, in two's complement; and in bit 0
        whether there is one. What is not in use is 0.
        """
        more = ()
        if self.limits or self.sink:
            sink = self.sink or Sink(valid=False)
            more = (*self.limits, *[0] * (LIMITS - len(self.limits)),
                    sink.logit % (1 << WORD_BITS), int(sink.valid))
        return (self.logit.multiplier, self.logit.offset % (1 << WORD_BITS),
                self.output.multiplier, self.logit.shift | self.output.shift << 8, *more)

    @classmethod
    def from_words(cls, config, words: Sequence[int]) -> SetParameters:
        """Return those that a beat carries."""
        logit, offset, output, shifts, *more = map(int, words)
        mask = (1 << SHIFT_BITS) - 1
        sink = Sink(_signed(more[LIMITS]), bool(more[LIMITS + 1] & 1)) if config.sink else None
        return cls(Scaling(logit, shifts & mask, _signed(offset)),
                   Scaling(output, shifts >> 8 & mask), tuple(more[:len(config.limits)]), sink)


def _signed(word):
    high = 1 << (WORD_BITS - 1)
    return (word ^ high) - high


def parameter_format(config) -> Format:
    """Return what the words of a beat are."""
    whole = ", its top bit set" if config.datapath == "online" else ""
    meaning = ("parameter of a set: multiplier of its logits; their offset, in two's complement; "
               f"multiplier of its outputs{whole}; shift of the logits in bits 5..0, of the "
               "outputs in bits 13..8")
    if config.limits or config.sink:
        limits = (*config.limits, *["0"] * (LIMITS - len(config.limits)))
        sink = ("sink logit, in two's complement; 1 for rows with a sink, 0 for others"
                if config.sink else "0; 0")
        meaning += f"; {'; '.join(limits)}; {sink}"
    words = ParameterIntake.layout(config).lanes
    return Format(meaning, None, "set's parameters", least=words, most=words, step=words)


class ParameterIntake(wiring.Component):
    """Takes the parameters of the sets, in their order, and hands them to those who need them.

    Each part of the engine takes the parameters of the next set itself, with the first row of the
    set, so that a change never reaches a row of another set. Parameters are taken ahead, of
    :data:`SETS` sets at most between here and their first outputs. Throughput one set per cycle.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.

    Members
    -------
    i : In(stream.Signature(ParameterIntake.layout(config)))
        Parameters of a set, as :attr:`SetParameters.words`. ``last`` does not count.
    there : Out(1)
        Those of the next set are there. From a register.
    over : In(1)
        The selection is over with a set.
    logit : Out(stream.Signature(ScalingLayout(logit_bits)))
        Scale of the next set's logits; valid when its first row is there.
    output : Out(stream.Signature(ScalingLayout()))
        Scale of the next set's outputs, likewise.
    limits : Out(LimitsLayout(config))
        What the selection goes by in the next set, while ``there``.
    sink : Out(stream.Signature(SinkLayout(logit_bits)))
        Sink of the next set; valid two cycles before its first row is there. Only with a sink.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(self.layout(config))), "there": Out(1), "over": In(1),
            "logit": Out(stream.Signature(ScalingLayout(config.logit_bits))),
            "output": Out(stream.Signature(ScalingLayout())),
            "limits": Out(LimitsLayout(config)),
            **({"sink": Out(stream.Signature(SinkLayout(config.logit_bits)))}
               if config.sink else {}),
        })

    @staticmethod
    def layout(config):
        """Layout of a beat."""
        return VectorLayout(unsigned(WORD_BITS),
                            WORDS * (1 + (len(config.limits) > 0 or config.sink)))

    @staticmethod
    def store_sink(sink, words):
        """Assignments of the sink in the words of a beat to one of :class:`SinkLayout`."""
        return [sink.logit.eq(words[WORDS + LIMITS]), sink.valid.eq(words[WORDS + LIMITS + 1][0])]

    def elaborate(self, platform):
        m = Module()
        words = self.i.payload.data
        m.submodules.credit = credit = Credit(SETS)
        m.submodules.logits = logits = Fifo(self.logit.payload.shape(), SETS)
        m.submodules.outputs = outputs = Fifo(self.output.payload.shape(), SETS)
        # Sets whose parameters came and that are not over: the tail may have taken its part of the
        # oldest one, and returned the credit, long before the selection is over with the set.
        waiting, transfer = Signal(range(SETS + 2)), Signal()
        m.d.comb += [
            self.i.ready.eq(credit.available), transfer.eq(self.i.valid & self.i.ready),
            credit.issue.eq(transfer), credit.done.eq(self.output.valid & self.output.ready),
            self.there.eq(waiting != 0),
            logits.push.eq(transfer), logits.i.multiplier.eq(words[0]),
            logits.i.offset.eq(words[1]), logits.i.shift.eq(words[3][:SHIFT_BITS]),
            outputs.push.eq(transfer), outputs.i.multiplier.eq(words[2]),
            outputs.i.shift.eq(words[3][8:8 + SHIFT_BITS]),
        ]
        wiring.connect(m, logits.o, wiring.flipped(self.logit))
        wiring.connect(m, outputs.o, wiring.flipped(self.output))
        if self.config.sink:
            m.submodules.sinks = sinks = Fifo(self.sink.payload.shape(), SETS)
            m.d.comb += [sinks.push.eq(transfer), *self.store_sink(sinks.i, words)]
            wiring.connect(m, sinks.o, wiring.flipped(self.sink))
        if self.config.limits:
            m.submodules.limits = limits = FifoStorage(len(self.limits.as_value()), 2 * SETS)
            m.d.comb += [limits.i.eq(Cat(words[WORDS + k] for k in range(len(self.limits)))),
                         limits.push.eq(transfer), limits.pop.eq(self.over),
                         self.limits.eq(limits.o)]
        with m.If(transfer & ~self.over):
            m.d.sync += waiting.eq(waiting + 1)
        with m.Elif(self.over & ~transfer):
            m.d.sync += waiting.eq(waiting - 1)
        return m
