"""Configuration of the attention engine: its parameters, what is refused, and its cycles.

Notation: ``q``, ``k``, ``v`` elements, ``d`` their number in a vector (``dim``), ``n`` keys of a
set, ``s`` dot product, ``x`` logit, ``w`` weight.
"""

import dataclasses
import inspect
from fractions import Fraction

from ..config import UnitConfig, register
from ..fixed import MULTIPLIER_BITS, signed_range
from ..parameter import Choice, Derived, Flag, Integer, PositiveReal, parameter
from ..softmax.choice import SoftmaxChoice
from .engine import Attention, tail_of
from .greedy.column_load import ColumnLoad
from .greedy.column_sort import ColumnSort
from .logit_bias import BIASES
from .numbers import EngineNumbers
from .predict.predictors import PREDICTORS
from .resident.engine import ResidentAttention
from .resident.sheet import sheet_of as resident_sheet
from .resident.store import LOADS
from .reuse.tail import ReuseTail
from .selections import SELECTIONS
from .sheet import sheet_of
from .streams import EngineStreams

__all__ = ["AttentionConfig"]

# Where the selections, the exponentials and the reuse of maps come from.
SOURCES = ("greedy search, A3 (Ham et al., HPCA 2020); selection by predicted scores, AICAS 2022, "
           "with a predictor and rules of this project's own; reuse of maps, Shim, Choi and Sung, "
           "ICLR 2022")


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig(EngineNumbers, EngineStreams, UnitConfig):
    """Self-attention of one head: integers in, integers out, one query behind the other.

    With the keys ``k`` and the values ``v`` of a set loaded, a query ``q`` gives

    ====================== ==================================================== ================
    what                   how                                                  width
    ====================== ==================================================== ================
    dot product            ``s_i = sum_j q_j k_ij``, exact                      :attr:`dot_bits`
    logit                  ``x_i = sat(round(s_i * R))``,                       ``logit_bits``
                           ``R = query_scale key_scale / (sqrt(dim) logit_scale)``
    weight                 ``w = softmax(x)``, rows of the unit ``softmax``     ``weight_bits``
    sum                    ``a_j = sum_i w_i v_ij``, exact                      :attr:`sum_bits`
    output                 ``y_j = sat(round(a_j * T))``,                       ``out_bits``
                           ``T = weight_scale value_scale / output_scale``
    ====================== ==================================================== ================

    Both roundings are half up, both saturate, and ``R`` and ``T`` have 16 significant bits unless
    they are powers of two, which are exact and cost no multiplier
    (:class:`~rtl.fixed.Requantiser`). Whatever else scales the logits belongs into
    ``query_scale``. The engine does not divide: the softmax's weights add up to about 1.

    With scales "run-time" each set brings ``R``, ``T`` and an offset ``o`` of its own
    (:class:`~rtl.attention.parameters.SetParameters`): ``x_i = sat(round(s_i R) + o)``, and
    ``y_j = sat(round(sat(a_j) T))`` with sums of :attr:`sum_window` bits.

    With ``sink`` each row has one more logit, which enters its maximum and the sum of its weights
    and has no value: ``sink_logit``, or with scales "run-time" the set's own, or none
    (:class:`~rtl.attention.sink.Sink`).

    A key that is masked, and with ``causal`` a key behind the query's own place in its set, takes
    no part; with none left the output is 0.

    With ``select="predict"`` a query meets those keys only whose predicted score is high
    (:mod:`~rtl.attention.predict.predictors`,
    :class:`~rtl.attention.predict.prediction.Prediction`). With ``reuse`` the weights are codes of
    the exponentials, which are kept for values of further layers, and ``y_j = sat(round(a_j *
    (value_scale / output_scale) / sum_i w_i))``
    (:class:`~rtl.attention.reuse.tail.ReuseTail`).

    With ``datapath="online"`` the weights are terms relative to a running reference, and
    ``y_j = sat(round(A_j (value_scale / output_scale) / S))``
    (:class:`~rtl.attention.online.numbers.OnlineNumbers`). With scales "run-time" that ratio is the
    set's; ``logit_scale``, and with it the logit steps of an octave, is the engine's.

    With ``bias`` each query brings biases or masks of its keys, as a stream: ``sat(x_i + b_i)``
    takes the place of ``x_i``, or key ``i`` takes no part
    (:class:`~rtl.attention.logit_bias.LogitBias`).

    With ``store="resident"`` sets stay and grow, as decoding needs: commands append to them,
    truncate them and query them, and what a query sees follows from its position
    (:class:`~rtl.attention.resident.engine.ResidentAttention`). ``max_keys`` is then the capacity
    of each of ``sets`` sets.
    """

    UNIT = "attention"
    PRESETS = {"dense": {}, "predict": {"select": "predict"},
               "conservative": {"select": "greedy"},
               "aggressive": {"select": "greedy", "iterations_per_key": 0.125, "percent": 10.0},
               "reuse": {"reuse": True}}
    bits: int = parameter(8, Integer(4, 8), tag="b",
                          help="width of an element of Q, K and V, signed")
    query_scale: float = parameter(0.0625, PositiveReal(), tag="qs",
                                   help="real value of one step of Q")
    key_scale: float = parameter(0.0625, PositiveReal(), tag="ks",
                                 help="real value of one step of K")
    value_scale: float = parameter(0.0625, PositiveReal(), tag="vs",
                                   help="real value of one step of V")
    max_keys: int = parameter(320, Integer(1, 4096), tag="n", help="keys of a set at most")
    dim: int = parameter(64, Integer(1, 512), tag="d", help="elements of a vector of Q and K")
    value_dim: int = parameter(Derived(lambda config: config.dim, "dim"), Integer(1, 512), tag="vd",
                               help="elements of a vector of V, and of an output")
    lanes: int = parameter(1, Integer(1, 64), tag="l", help="keys per cycle")
    io_lanes: int = parameter(8, Integer(1, 256), tag="i",
                              help="elements per beat of every stream; must divide dim and "
                                   "value_dim")
    logit_bits: int = parameter(10, Integer(4, 16), tag="xb",
                                help="width of a logit, signed")
    logit_scale: float = parameter(0.03125, PositiveReal(), tag="xs",
                                   help="real value of one logit step")
    softmax: str = parameter("softmax-e2:plus", SoftmaxChoice(), tag="",
                             help="softmax unit, its preset and parameters")
    weight_bits: int = parameter(12, Integer(4, 16), tag="wb",
                                 help="width of a weight, unsigned")
    out_bits: int = parameter(8, Integer(4, 16), tag="o", help="width of an output, signed")
    output_scale: float = parameter(0.0625, PositiveReal(), tag="os",
                                    help="real value of one output step")
    scales: str = parameter("fixed", Choice(("fixed", "run-time")), tag="",
                            help="scales of logits and outputs: those of the steps above, or a "
                                 "set's own, which come as a stream of parameters")
    sink: bool = parameter(False, Flag(), tag="si",
                           help="whether rows have a sink logit, which takes weight and has no "
                                "value")
    sink_logit: int = parameter(0, Integer(-32768, 32767), tag="sv",
                                help="sink: its logit, in logit steps; with scales at run time a "
                                     "set brings its own")
    causal: bool = parameter(False, Flag(), tag="c",
                             help="query i of a set sees the keys 0..i only")
    memory: str = parameter("auto", Choice(("auto", "block", "distributed")), tag="m",
                            help="memory of the stores; auto takes block RAM for more than "
                                 "4096 bits")

    dsp_packing: bool = parameter(False, Flag(), tag="dp",
                                  help="whether two lanes share the DSP blocks of their dot "
                                       "products; needs two lanes")
    max_queries: int = parameter(0, Integer(0, 65535), tag="mx",
                                 help="queries of a set at most, behind which the next one begins "
                                      "if their end is missing; 0 for any number")

    datapath: str = parameter("two-pass", Choice(("two-pass", "online")), tag="",
                              help="softmax and weighted sum of a row one after the other, or both "
                                   "in one pass, relative to a running reference")
    term_bits: int = parameter(12, Integer(6, 16), tag="tb",
                               help="online: fraction bits of the term of a key, which takes the "
                                    "place of softmax and weight_bits")
    octave_bits: int = parameter(4, Integer(0, 5), tag="ob",
                                 help="online: log2 of the logit positions per octave, to the "
                                      "nearest")
    guard_bits: int = parameter(0, Integer(0, 4), tag="gb",
                                help="online: bits of the sums below those of a term")

    store: str = parameter("sets", Choice(("sets", "resident")), tag="",
                           help="K and V come as whole sets, one behind the other, or stay in the "
                                "engine and grow")
    sets: int = parameter(1, Integer(1, 256), tag="st",
                          help="resident: sets of up to max_keys keys each")
    heads: int = parameter(1, Integer(1, 256), tag="h",
                           help="resident: query heads, each with scales of its own at run time")
    window: int = parameter(0, Integer(0, 4096), tag="w",
                            help="resident: positions back from its own, itself included, that a "
                                 "query sees; a set is then a ring. 0 for all")
    sinks: int = parameter(0, Integer(0, 256), tag="sk",
                           help="resident: first positions of a set that stay visible however far "
                                "the window is")
    chunk: int = parameter(1, Integer(1, 4096), tag="ch",
                           help="resident: most keys of an append to a ring whose queries all find "
                                "what they see")
    position_bits: int = parameter(16, Integer(4, 16), tag="po",
                                   help="resident: width of a position, which counts modulo 2^this")

    select: str = parameter("none", Choice(tuple(SELECTIONS)), tag="",
                            help="which keys a query meets: all, those that a prediction picks, or "
                                 "those that a greedy search over sorted columns finds")
    predictor: str = parameter("octave", Choice(tuple(PREDICTORS)), tag="p",
                               help="what scores are predicted from")
    prefix_dims: int = parameter(8, Integer(1, 511), tag="pd",
                                 help="predictor prefix: dimensions whose part of the dot product "
                                      "predicts it; less than dim")
    predict_lanes: int = parameter(8, Choice((1, 2, 4, 8, 16, 32)), tag="pl",
                                   help="keys predicted per cycle")
    rule: str = parameter("mean", Choice(("mean", "threshold", "top-k")), tag="r",
                          help="what is kept: scores above a point between mean and maximum, "
                               "within a distance of the maximum, or so many of the largest")
    mean_shift: int = parameter(2, Integer(0, 6), tag="a",
                                help="rule mean: keep what is at least mean + 2^-a (max - mean)")
    threshold: int = parameter(256, Integer(0, 65535), tag="t",
                               help="rule threshold: distance in predicted steps")
    top_k: int = parameter(40, Integer(1, 4096), tag="k",
                           help="rule top-k: keys that are kept; of equal scores the first ones")

    iterations_per_key: float = parameter(
        0.5, PositiveReal(), tag="it",
        help="greedy: iterations of the search by each of max_keys; at most dim")
    percent: float = parameter(5.0, PositiveReal(), tag="pc",
                               help="greedy: candidates stay whose weight is at least this share "
                                    "of the largest; at most 100")
    min_skip: bool = parameter(True, Flag(), tag="ms",
                               help="greedy: leave the smallest product out while the sum of all "
                                    "that was taken is negative")
    empty: str = parameter("all", Choice(("all", "first")), tag="e",
                           help="greedy: what a query without a candidate meets: all keys, or the "
                                "first one that takes part")
    sort: str = parameter("hardware", Choice(("hardware", "host")), tag="so",
                          help="greedy: the columns of K are sorted as it is loaded, or come "
                               "sorted, as a stream of their own")
    start_lanes: int = parameter(2, Choice((1, 2)), tag="sl",
                                 help="greedy: dimensions per cycle that a search is prepared "
                                      "with; must divide io_lanes")
    scan_lanes: int = parameter(16, Choice((2, 4, 8, 16, 32)), tag="sc",
                                help="greedy: scores per cycle that are looked at for candidates")

    reuse: bool = parameter(False, Flag(), tag="ru",
                            help="attention maps are kept, for values of further layers")
    maps: int = parameter(1, Choice((1, 2, 4, 8, 16, 32, 64)), tag="ma",
                          help="reuse: maps that are kept, one for each head")
    map_queries: int = parameter(0, Integer(0, 4096), tag="mq",
                                 help="reuse: queries of a map at most; 0: as many as max_keys")
    code_bits: int = parameter(8, Integer(4, 12), tag="cb",
                               help="reuse: width of a code of the map, which takes the place of "
                                    "softmax and weight_bits")

    bias: str = parameter("none", Choice(BIASES), tag="bias",
                          help="what the stream b has for each key that a query meets: nothing, a "
                               "mask, or a bias that is added to its logit or masks it")
    bias_bits: int = parameter(8, Integer(2, 16), tag="bb",
                               help="bias add: width of a bias, signed")

    def __post_init__(self):
        super().__post_init__()
        self._require("select", not self.reuse or self.select == "none", "none for reuse")
        self._require("lanes", not self.reuse or self.lanes == 1, "1 for reuse")
        self._require("dsp_packing", self.lanes > 1 or not self.dsp_packing, "false for lanes 1",
                      "true")
        self._require("scales", not (self.reuse and self.run_time), "fixed for reuse")
        self._require("sink", not (self.reuse and self.sink), "false for reuse", "true")
        low, high = signed_range(self.logit_bits)
        self._require("sink_logit", low <= self.sink_logit <= high,
                      f"in {low}..{high} for logit_bits {self.logit_bits}")
        self._require("prefix_dims", self.known_dims < self.dim, f"less than dim ({self.dim})")
        for name in ("dim", "value_dim"):
            size = getattr(self, name)
            self._require("io_lanes", size % self.io_lanes == 0, f"a divisor of {name} ({size})")
        if self.bias != "none":
            self._require("bias", self.select == "none", f'none for select "{self.select}", which '
                          "picks keys before their biases are known")
            self._require("bias", not self.reuse, "none for reuse, whose maps would keep rows that "
                          "fail")
        if self.select == "greedy":
            self._check_greedy()
        if self.datapath == "online":
            self._check_online()
        if self.store == "resident":
            self._check_resident()
        # Beyond these all results would be 0, or all but 0 saturate.
        self._check_ratio("logit_scale", self._logit_square)
        if self.reuse:
            self._require("output_scale",
                          Fraction(1, 1 << 24) <= self._division_ratio <= 1 << 16,
                          "2^-16 to 2^24 times value_scale for reuse")
        else:
            self._check_ratio("output_scale", self._output_square)
        if self.run_time:
            for name, rule in ("logit_scale", self.logit), ("output_scale", self.output):
                self._require(name, rule.multiplier < 1 << MULTIPLIER_BITS and rule.shift >= 0,
                              "2^-16 times the step of what is requantised, at least, for "
                              "scales \"run-time\"")

    def _check_greedy(self):
        self._require("causal", not self.causal, "false for select \"greedy\", whose columns are "
                      "sorted for all queries of a set", "true")
        self._require("start_lanes", self.io_lanes % self.start_lanes == 0,
                      f"a divisor of io_lanes ({self.io_lanes})")
        self._require("iterations_per_key", self.iterations_per_key <= self.dim,
                      f"at most dim ({self.dim})")
        self._require("percent", self.percent <= 100, "at most 100")
        self._require("iterations_per_key", not self.run_time or self.iterations < 1 << 16,
                      f"at most {65535 / self.max_keys:g} for scales \"run-time\" and max_keys "
                      f"{self.max_keys}")

    def _check_online(self):
        self._require("reuse", not self.reuse, "false for datapath \"online\"", "true")
        # A step of more octaves would need references wider than any real logit.
        self._require("logit_scale", self.logit_scale <= 16.0, "at most 16 for datapath \"online\"")
        most = self.online.most_ratio
        self._require("output_scale", self._division_ratio < most,
                      f"above {float(Fraction(self.value_scale) / most):g} for datapath \"online\" "
                      f"and value_scale {self.value_scale:g}")

    def _check_resident(self):
        regions = self.regions
        self._require("select", self.select == "none", "none for store \"resident\"")
        self._require("reuse", not self.reuse, "false for store \"resident\"", "true")
        self._require("heads", self.run_time or self.heads == 1, "1 for scales \"fixed\"")
        self._require("lanes", self.lanes & (self.lanes - 1) == 0,
                      "a power of two for store \"resident\"")
        self._require("max_keys", self.max_keys % self.lanes == 0,
                      f"a multiple of lanes ({self.lanes}) for store \"resident\"")
        self._require("max_queries", not self.max_queries,
                      "0 for store \"resident\", whose commands count queries")
        self._require("sinks", self.window or not self.sinks, "0 without a window")
        self._require("max_keys", self.max_keys >= regions.least,
                      f"at least {regions.least} for this window, these sinks and this chunk")
        least = ((LOADS + 2) * self.max_keys - 1).bit_length() + 1
        self._require("position_bits", self.position_bits >= least,
                      f"at least {least} for max_keys {self.max_keys}")

    def _check_ratio(self, name, square):
        self._require(name, Fraction(1, 1 << 80) <= square <= 1 << 32,
                      "2^-16 to 2^40 times the step of what is requantised")

    # Hardware ----------------------------------------------------------------------------------

    @property
    def latency(self):
        """Clock cycles from a query's last beat accepted to its output's first beat valid.

        In an idle engine with no more than ``lanes`` keys loaded (:meth:`query_latency`).
        """
        return self._engine.latency_of(self)

    @classmethod
    def algorithm(cls):
        """Equations and sources of what the engine computes: the docstring of the class."""
        return f"{inspect.cleandoc(cls.__doc__)}\n\nSources: {SOURCES}."

    @property
    def data_sheet(self):
        """Formats, framing and timing, as the emitted file says them."""
        sheet = resident_sheet if self.store == "resident" else sheet_of
        return sheet(self)

    def query_latency(self, keys):
        """:attr:`latency` with so many keys."""
        beats = self.regions.row_words(keys) if self.store == "resident" else \
            -(-keys // self.lanes)
        return self.latency + (1 + tail_of(self).passes_of(self)) * (beats - 1)

    def query_cycles(self, keys, kept=None):
        """Cycles per query, once the engine is full: of the keys, or of the streams.

        With ``select`` the cycles count that the keys which a query keeps take on average,
        ``kept`` (``sim.model.attention.places.beats``; with one lane their number), and all for
        their prediction; with a greedy search its candidates, its iterations and what surrounds
        them.
        """
        return max(SELECTIONS[self.select].cycles_of(self, keys, kept), self.stream_beats)

    def sort_cycles(self, keys):
        """Cycles until a greedy search's columns of a set are there, from set to set."""
        if self.select != "greedy":
            return 0
        return (ColumnSort if self.sort == "hardware" else ColumnLoad).cycles_of(self, keys)

    @property
    def map_rows(self):
        """Queries of a map at most."""
        return self.map_queries or self.max_keys

    def reuse_cycles(self, keys):
        """Cycles per query of values that reuse a map: two queries at a time."""
        return max(keys, ReuseTail.pair_gap(self) + self.value_beats + 2) / 2

    def create(self):
        """Create the unit's hardware."""
        return self._engine(self)

    @property
    def _engine(self):
        """Class of the hardware."""
        return ResidentAttention if self.store == "resident" else Attention
