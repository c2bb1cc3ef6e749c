"""Rows of outputs: sums are requantised, a beat per cycle, into a queue under credits."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.choose import choose
from ..blocks.pipeline import delays
from ..blocks.requantise import RequantiserPipeline
from ..blocks.runtime_requantise import RuntimeRequantiser
from ..fixed import saturated
from ..stream.credit import Credit
from ..stream.fifo import Fifo
from .parameters import ScalingLayout

__all__ = ["OutputRows"]


class OutputRows(wiring.Component):
    """Queue of the outputs behind a pipeline that never stalls, with what makes them of sums.

    A row that ends takes a credit, which returns with its last beat; rows end no faster than their
    beats leave. Throughput one beat per cycle; latency :meth:`latency_of` cycles from the sums to
    the first beat. Empty after reset.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    cycles : int
        Cycles from the end of a row to its sums, at most.
    division : object or None
        Division of the sums by that of the row's weights, instead of ``config.output``: its
        ``factor_layout``, ``stages`` and ``pipeline(low, high)``, as those of
        :class:`~rtl.attention.reuse.row_division.RowDivision`.

    Members
    -------
    may_end : Out(1)
        A row may end. From registers.
    left : Out(range(rows + 1))
        Rows that find a place in the queue.
    end : In(1)
        A row ends. Only while ``may_end``.
    done : In(1)
        ``sums`` has the sums of a row.
    sums : In(ArrayLayout(signed(sum_bits), value_dim))
        Sums.
    set_end : In(1)
        The row is the last one of its set.
    mark : In(1)
        The row is marked.
    factor : In(division.factor_layout)
        Factor of the row. Only with a division.
    scaling : In(stream.Signature(ScalingLayout()))
        Scale of the next set's outputs, taken with the sums of its first row, and valid by then.
        Only with scales at run time, without a division.
    o : Out(stream.Signature(config.output_layout))
        Outputs, ``last`` in the last beat of a set's last row, ``use`` in those of a marked one.
    """

    def __init__(self, config, cycles, division=None):
        self.config = config
        self.division = division
        beats = config.value_beats
        # A row's beats leave the queue so many cycles after its end.
        total = cycles + self.latency_of(config, division) + beats + 1
        self.rows = -(-total // beats) + 1
        super().__init__({
            "may_end": Out(1), "left": Out(range(self.rows + 1)), "end": In(1), "done": In(1),
            "sums": In(data.ArrayLayout(signed(config.sum_bits), config.value_dim)),
            "set_end": In(1), "mark": In(1), "o": Out(stream.Signature(config.output_layout)),
            **({"factor": In(division.factor_layout)} if division else {}),
            **({"scaling": In(stream.Signature(ScalingLayout()))}
               if config.run_time and not division else {}),
        })

    @staticmethod
    def _stages(config, division):
        if division:
            return division.stages
        return (RuntimeRequantiser.latency if config.run_time
                else RequantiserPipeline.stages(config.output))

    @classmethod
    def latency_of(cls, config, division=None):
        """Cycles from the sums of a row to its first beat on ``o``."""
        return (config.value_beats > 1) + 1 + cls._stages(config, division) + 1

    def elaborate(self, platform):
        m = Module()
        beats = self.config.value_beats
        m.submodules.queue = queue = Fifo(self.config.output_layout, self.rows * beats)
        m.submodules.credit = credit = Credit(self.rows)
        # Cycles until the next row may end.
        spacing = Signal(range(max(beats, 2)))
        left, transfer = Signal(range(beats)), Signal()
        m.d.comb += [
            transfer.eq(self.o.valid & self.o.ready),
            credit.issue.eq(self.end), credit.done.eq(transfer & (left == beats - 1)),
            self.may_end.eq((spacing == 0) & credit.available), self.left.eq(credit.left),
        ]
        with m.If(self.end):
            m.d.sync += spacing.eq(beats - 1)
        with m.Elif(spacing != 0):
            m.d.sync += spacing.eq(spacing - 1)
        with m.If(transfer):
            m.d.sync += left.eq(Mux(left == beats - 1, 0, left + 1))
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        self._fill(m, queue)
        return m

    def _fill(self, m, queue):
        """Requantise the sums of a row, a beat of outputs per cycle, into the queue."""
        config = self.config
        beats, lanes = config.value_beats, config.io_lanes
        sums, valid, last, mark = list(self.sums), self.done, self.set_end, self.mark
        if beats > 1:
            group = Signal(range(beats))
            emitting, ending, mark = Signal(), Signal(), Signal()
            held = [Signal.like(total, name=f"held_{j}", reset_less=True)
                    for j, total in enumerate(sums)]
            with m.If(self.done):
                m.d.sync += [kept.eq(total) for kept, total in zip(held, sums, strict=True)]
                m.d.sync += [emitting.eq(1), ending.eq(self.set_end), mark.eq(self.mark),
                             group.eq(0)]
            with m.Else():
                m.d.sync += group.eq(group + 1)
                with m.If(group == beats - 1):
                    m.d.sync += emitting.eq(0)
            half = 1 << max((beats - 1).bit_length() - 1, 0)
            valid, last = emitting, ending & (group == beats - 1)
            upper = Signal()
            m.d.sync += upper.eq(group[-1])
            # Either half of the beats has a register: a LUT is a choice of four.
            sums = [Mux(upper, *(self._selected(m, f"{name}_{k}", choose(part, group[:-1]))
                                 for name, part in (("upper", held[k::lanes][half:]),
                                                    ("lower", held[k::lanes][:half])))).as_signed()
                    for k in range(lanes)]
        else:
            sums = [self._selected(m, f"selected_{k}", total) for k, total in enumerate(sums)]
        m.d.comb += queue.i.data.eq(Cat(self._rounded(m, sums, self._held(m))))
        cycles = 1 + self._stages(config, self.division)
        m.d.comb += [queue.push.eq(delays(m, valid, cycles, "output_valid")[-1]),
                     queue.i.last.eq(delays(m, last, cycles, "output_last")[-1]),
                     queue.i.use.eq(delays(m, mark, cycles, "output_mark")[-1])]

    def _selected(self, m, name, value):
        """Register of a sum that is rounded next."""
        selected = Signal(signed(self.config.sum_bits), name=name, reset_less=True)
        m.d.sync += selected.eq(value)
        return selected

    def _held(self, m):
        """What the selected sums of a row are scaled by, if that is no constant."""
        several = self.config.value_beats > 1
        if self.division:
            held, taken = self.factor, self.done
        elif self.config.run_time:
            # The next row starts a set.
            fresh = Signal(init=1)
            with m.If(self.done):
                m.d.sync += fresh.eq(self.set_end)
            held, taken = self.scaling.payload, self.done & fresh
            m.d.comb += self.scaling.ready.eq(taken)
        else:
            return None
        kept, selected = (Signal.like(held, name=f"{name}_scale") for name in ("held", "selected"))
        if several or not self.division:
            with m.If(taken):
                m.d.sync += kept.eq(held)
            held = kept
        # A scale at run time is held for all rows of its set, a factor for one.
        if several or self.division:
            m.d.sync += selected.eq(held)
            held = selected
        return held

    def _rounded(self, m, selected, scale):
        """Outputs of the selected sums."""
        config = self.config
        if self.division is None and config.run_time:
            m.submodules.output = rounding = RuntimeRequantiser(
                config.sum_window, config.out_bits, lanes=config.io_lanes)
            m.d.comb += [rounding.multiplier.eq(scale.multiplier), rounding.shift.eq(scale.shift)]
            m.d.comb += [port.eq(saturated(total, config.sum_window))
                         for port, total in zip(rounding.i, selected, strict=True)]
            return list(rounding.o)
        results = []
        for k, total in enumerate(selected):
            if self.division:
                rounding = self.division.pipeline(*config.sum_range)
                m.d.comb += rounding.factor.eq(scale)
            else:
                rounding = RequantiserPipeline(config.output, *config.sum_range,
                                               signed(config.sum_bits))
            m.submodules[f"output_{k}"] = rounding
            m.d.comb += rounding.i.eq(total)
            results.append(rounding.o)
        return results
