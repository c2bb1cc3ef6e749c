"""What all softmax configurations share."""

import dataclasses

from amaranth import signed, unsigned

from ..config import UnitConfig
from ..data_sheet import DataSheet, Format
from ..fixed import MULTIPLIER_BITS, SHIFT_BITS
from ..parameter import Choice, Flag, Integer, PositiveReal, parameter
from ..stream.beat import BeatLayout
from ..stream.row_unit import RowUnit
from .accumulators import RequantisedDatapath
from .online import OnlineDatapath
from .two_pass import TwoPassDatapath

__all__ = ["SoftmaxConfig", "partial_sums", "pipeline"]

# Elements of a row of a method of two passes, at most.
LONGEST_TWO_PASS = 4096


# What a row's first beat may bring.
_ROW_FIELDS = {
    "multiplier": "multiplier from accumulators to logits, unsigned",
    "shift": "right shift of their products",
    "offset": "offset of a logit, in its steps, signed",
    "sink": "sink logit, signed",
    "sink_valid": "1: the row has a sink",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftmaxConfig(UnitConfig):
    """Parameters of every softmax unit.

    A row is up to ``max_length`` signed integers of ``bits`` bits, each worth ``input_scale``; the
    result is as many unsigned integers of ``out_bits`` bits, each worth :attr:`output_scale`.

    With ``accumulator_bits`` a row is of accumulators instead, and a requantiser in front makes the
    logits: ``saturate(floor(a * multiplier / 2**shift + 1/2) + offset)``. With ``sink`` a row may
    have a sink ``s``: ``y_i = exp(x_i) / (sum_j exp(x_j) + exp(s))``. What is a row's own comes in
    its first beat (:attr:`row_fields`); a sink is compared with the logits as they are with the
    offset.

    A subclass is a method, in a file of its own with its hardware: registered by
    :func:`rtl.config.register` under ``UNIT``, with ``PRESETS``, its parameters,
    :attr:`output_scale`, what hardware and model both need (tables, widths, shifts) as properties,
    and :attr:`method`, the stages that :attr:`skeleton` connects. :attr:`running` chooses the
    skeleton. :attr:`passes`, :attr:`latency` and :meth:`create` follow.
    """

    #: Whether terms are relative to a reference that runs with the row (one pass), and not to the
    #: row's final maximum (two passes).
    running = False

    bits: int = parameter(8, Integer(2, 16), tag="b", help="width of a logit, signed")
    input_scale: float = parameter(0.125, PositiveReal(), tag="s",
                                   help="real value of one logit step; powers of two are cheap")
    out_bits: int = parameter(8, Integer(4, 16), tag="o", help="width of an output, unsigned")
    lanes: int = parameter(8, Integer(1, 64), tag="l", help="elements per beat")
    max_length: int = parameter(512, Integer(1, 1 << 20), tag="n",
                                help="elements per row at most; 4096 for a method of two passes")
    memory: str = parameter("auto", Choice(("auto", "block", "distributed")), tag="m",
                            help="memory that holds the rows; auto takes block RAM above 4096 bits")
    max_rows: int = parameter(0, Integer(0, 4096), tag="r",
                              help="rows that may be inside the unit at a time, 32 or more: "
                                   "further ones wait at the input; 0: any number, none waits")
    accumulator_bits: int = parameter(
        0, Integer(0, 32), tag="a",
        help="width of an accumulator, signed, of which a requantiser makes logits by the row's "
             "multiplier, shift and offset; 0: rows are logits")
    sink: bool = parameter(
        False, Flag(), tag="sk",
        help="whether a row may bring a sink logit, which takes weight and has no output")

    def __post_init__(self):
        super().__post_init__()
        # A final maximum would need a second store of rows that are this long.
        self._require("max_length", self.running or self.max_length <= LONGEST_TWO_PASS,
                      f"at most {LONGEST_TWO_PASS} for a method of two passes")
        self._require("accumulator_bits", self.accumulator_bits != 1, "0 or 2..32")
        self._require("max_rows", self.max_rows == 0 or self.max_rows >= 32, "0 or at least 32")

    @property
    def max_beats(self):
        """Beats of the longest row."""
        return -(-self.max_length // self.lanes)

    @property
    def summands(self):
        """Elements of a beat that enter maximum and sum: the lanes, and the sink behind them."""
        return self.lanes + self.sink

    @property
    def max_terms(self):
        """Terms of a row's sum at most."""
        return self.max_length + self.sink

    @property
    def of_logits(self):
        """The same configuration with rows of logits."""
        return dataclasses.replace(self, accumulator_bits=0) if self.accumulator_bits else self

    @property
    def output_scale(self):
        """Real value of one output step."""
        raise NotImplementedError

    @property
    def row_fields(self):
        """Shapes of what a row's first beat brings for the row, by name."""
        fields = {}
        if self.accumulator_bits:
            fields |= {"multiplier": unsigned(MULTIPLIER_BITS), "shift": unsigned(SHIFT_BITS),
                       "offset": signed(self.bits)}
        if self.sink:
            fields |= {"sink": signed(self.bits), "sink_valid": unsigned(1)}
        return fields

    @property
    def input_layout(self):
        """Layout of one input beat: ``data``, ``keep``, ``mask``, ``row`` (if any) and ``last``."""
        return BeatLayout(signed(self.accumulator_bits or self.bits), self.lanes, mask=True,
                          row=self.row_fields)

    @property
    def output_layout(self):
        """Layout of one output beat: ``data``, ``keep`` and ``last``."""
        return BeatLayout(unsigned(self.out_bits), self.lanes)

    @property
    def data_sheet(self):
        """Formats, framing and timing, as the emitted file says them."""
        waits = "" if self.row_interval == 1 else (
            f"; a row of fewer than {self.row_interval} beats waits until the unit is empty")
        element = Format("logit", self.input_scale, most=self.max_length)
        further = ""
        if self.accumulator_bits:
            element = Format("accumulator", most=self.max_length)
            further += (
                " A row's first beat brings its multiplier, shift and offset: an accumulator's "
                "logit is floor(accumulator * multiplier / 2**shift + 1/2) + offset, saturated to "
                f"{self.bits} bits, and worth {self.input_scale!r} a step.")
        if self.sink:
            further += (
                " With sink_valid in a row's first beat, its sink, a logit, enters maximum and sum "
                "like an element, and has no output.")
        return DataSheet(
            formats={"i": element,
                     "o": Format("probability", self.output_scale, most=self.max_length)},
            framing=f"A row is 1 to {self.max_length} elements, {self.lanes} a beat, the first one "
                    "in lane 0 of the first beat; rows of any lengths follow each other. An "
                    "element that is masked counts as minus infinity, and its output is 0. A "
                    "longer row is cut." + further,
            row={name: _ROW_FIELDS[name] for name in self.row_fields},
            throughput=DataSheet.throughput + waits)

    # Hardware ------------------------------------------------------------------------------------

    @property
    def skeleton(self):
        """Class of the datapath: made from the configuration and the method."""
        return OnlineDatapath if self.running else TwoPassDatapath

    @property
    def method(self):
        """Stages of the method: an :class:`~rtl.softmax.online.OnlineMethod` where terms are
        relative to a running reference, a :class:`~rtl.softmax.two_pass.TwoPassMethod` otherwise.
        """
        raise NotImplementedError

    @property
    def passes(self):
        """Stores that hold a row until it is complete, one behind the other."""
        return self.skeleton.passes

    @property
    def latency(self):
        """Clock cycles from a row's last beat accepted to its first beat valid.

        For a row of one beat, where :attr:`passes` is more than 1.
        """
        front = RequantisedDatapath.LATENCY if self.accumulator_bits else 0
        return front + self.skeleton.latency_of(self, self.method)

    def create(self):
        """Create the unit's hardware."""
        inner = self.of_logits
        datapath = inner.skeleton(inner, inner.method)
        if self.accumulator_bits:
            datapath = RequantisedDatapath(self, datapath)
        return RowUnit(self, datapath)


def partial_sums():
    """Parameter of the methods with a running reference."""
    return parameter(1, Integer(1, 2), tag="ps",
                     help="running sums of a row: one, or two of every second beat each, which is "
                          "a cycle more of latency and a shorter path")


def pipeline():
    """Parameter of the methods with a running reference."""
    return parameter("short", Choice(("short", "deep")), tag="pi",
                     help="few cycles of latency, or short paths: digits of the maximum, additions "
                          "of a beat's sum and normalisation of a row's in cycles of their own")
