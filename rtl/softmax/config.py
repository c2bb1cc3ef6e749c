"""What all softmax configurations share."""

import dataclasses

from amaranth import signed, unsigned

from ..config import UnitConfig
from ..data_sheet import DataSheet, Format
from ..parameter import Choice, Integer, PositiveReal, parameter
from ..stream.beat import BeatLayout
from ..stream.row_unit import RowUnit
from .online import OnlineDatapath
from .two_pass import TwoPassDatapath

__all__ = ["SoftmaxConfig", "partial_sums", "pipeline"]

# Elements of a row of a method of two passes, at most.
LONGEST_TWO_PASS = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftmaxConfig(UnitConfig):
    """Parameters of every softmax unit.

    A row is up to ``max_length`` signed integers of ``bits`` bits, each worth ``input_scale``; the
    result is as many unsigned integers of ``out_bits`` bits, each worth :attr:`output_scale`.

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

    def __post_init__(self):
        super().__post_init__()
        # A final maximum would need a second store of rows that are this long.
        self._require("max_length", self.running or self.max_length <= LONGEST_TWO_PASS,
                      f"at most {LONGEST_TWO_PASS} for a method of two passes")
        self._require("max_rows", self.max_rows == 0 or self.max_rows >= 32, "0 or at least 32")

    @property
    def max_beats(self):
        """Beats of the longest row."""
        return -(-self.max_length // self.lanes)

    @property
    def output_scale(self):
        """Real value of one output step."""
        raise NotImplementedError

    @property
    def input_layout(self):
        """Layout of one input beat: ``data``, ``keep``, ``mask`` and ``last``."""
        return BeatLayout(signed(self.bits), self.lanes, mask=True)

    @property
    def output_layout(self):
        """Layout of one output beat: ``data``, ``keep`` and ``last``."""
        return BeatLayout(unsigned(self.out_bits), self.lanes)

    @property
    def data_sheet(self):
        """Formats, framing and timing, as the emitted file says them."""
        waits = "" if self.row_interval == 1 else (
            f"; a row of fewer than {self.row_interval} beats waits until the unit is empty")
        return DataSheet(
            formats={"i": Format("logit", self.input_scale, most=self.max_length),
                     "o": Format("probability", self.output_scale, most=self.max_length)},
            framing=f"A row is 1 to {self.max_length} elements, {self.lanes} a beat, the first one "
                    "in lane 0 of the first beat; rows of any lengths follow each other. An "
                    "element that is masked counts as minus infinity, and its output is 0. A "
                    "longer row is cut.",
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
        return self.skeleton.latency_of(self, self.method)

    def create(self):
        """Create the unit's hardware."""
        return RowUnit(self, self.skeleton(self, self.method))


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
