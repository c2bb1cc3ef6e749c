"""SVD-softmax: softmax over a large vocabulary from a low-rank preview of all words.

Source: SVD-softmax (Shim, Lee, Choi, Boo, Sung, NIPS 2017). Offline, the output matrix ``A`` (V
words, D columns) is factored, ``A = U S V^T``, ``B = U S``. For a hidden vector ``x``::

    h = V^T x
    z_i = B[i, :W] . h[:W] + b_i        for all words i: the preview
    C = the N words of the largest z_i, of equal ones those of the lowest index
    z_i = B[i, :] . h + b_i             for the words in C: the full view
    y = softmax(z)                      over the mixed vector of all V words

Notation: ``V`` words, ``D`` columns (``dim``), ``W`` columns of the preview, ``N`` words of the
full view, ``t`` ``tail_shift``, ``s`` the image's shift from accumulators to logits.
"""

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Mapping

from ..config import UnitConfig, register
from ..fixed import clip, round_shift, signed_range, signed_width
from ..parameter import Choice, Derived, Flag, Integer, PositiveReal, parameter
from ..softmax.choice import SoftmaxChoice
from .engine import SvdSoftmax
from .image import ImageLayout
from .log_partition import LogNumbers
from .sheet import sheet_of
from .words import WordLayout

__all__ = ["SOFTMAX", "SvdSoftmaxConfig"]

#: Parameters of the softmax that the engine sets, and its own that they are.
OWN = {"bits": None, "input_scale": "logit_scale", "out_bits": "out_bits", "lanes": None,
       "max_length": "max_vocab", "max_rows": None}

# Unit with the smallest errors of those without a multiplier: terms of 2**-23 still count in its
# sum, since thousands of them outweigh the largest one.
SOFTMAX = "softmax-e2:plus,code_bits=9,code_fraction_bits=4,sum_fraction_bits=22"

#: Width of a logit. The selection takes its two bytes one after the other.
LOGIT_BITS = 16

#: Width of a bias in the image.
BIAS_BITS = 32

#: Width of an element of the basis ``V^T`` in the image.
BASIS_BITS = 16

#: Width of the offset of a row of the basis.
OFFSET_BITS = 48

#: Widths of a shift in the image: from accumulators to logits, and from the basis to ``h``.
SHIFT_BITS = 5
BASIS_SHIFT_BITS = 6

#: Bits of the log-partition below a logit step.
LOG_FRACTION_BITS = 4

#: Width of a byte address of the memory.
ADDRESS_BITS = 32

#: Bytes that no burst of the memory crosses a multiple of.
PAGE = 4096


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class SvdSoftmaxConfig(UnitConfig):
    """Vocabulary head with a preview: hidden vectors in, the words of the full view out.

    The matrix lies in a memory as an image (:mod:`rtl.svd.image`). All is integers:

    ============== ========================================================= ======================
    what           how                                                       width
    ============== ========================================================= ======================
    hidden         ``x_k``, or with ``transform="supplied"`` ``h_j`` itself  ``hidden_bits``
    ``h``          ``h_j = sat(round((sum_k R_jk x_k + o_j) / 2**r_j))``     ``hidden_bits``
    preview        ``z_i = sum_{j<W} B_ij h_j + b_i``, exact                 :attr:`preview_bits`
    full view      ``f_i = z_i * 2**t + sum_j T_ij h_j``, exact              :attr:`full_view_bits`
    preview logit  ``p_i = sat(round(z_i / 2**s))``                          16
    full logit     ``q_i = sat(round(f_i / 2**(s + t)))``                    16
    selection      the N largest ``p_i``, of equal ones the lowest indices
    mixed vector   ``m_i = q_i`` for selected words, ``p_i`` for the others  16
    probability    ``softmax(m)``, rows of the unit ``softmax``              ``out_bits``
    log-partition  ``ln sum_i exp(m_i)``, approximated in base 2             :attr:`log_bits`
    ============== ========================================================= ======================

    All roundings are half up, and all of them saturate. The scale of each column, and of ``x``, is
    in the rows ``R_j`` of the basis; with ``transform="supplied"`` the host has folded it into
    ``h_j``. One step of ``z`` is ``logit_scale / 2**s``, of ``f`` and of the products with ``T``
    ``logit_scale / 2**(s + t)``. With ``residual`` ``T`` has all columns, the first W of them what
    ``B_ij * 2**t`` lacks of the finer weight; without it the columns from W on.
    """

    UNIT = "svd-softmax"
    PRESETS = {"plus": {}, "supplied": {"transform": "supplied"}}

    LOGIT_BITS: typing.ClassVar = LOGIT_BITS
    BIAS_BITS: typing.ClassVar = BIAS_BITS
    OFFSET_BITS: typing.ClassVar = OFFSET_BITS
    SHIFT_BITS: typing.ClassVar = SHIFT_BITS
    BASIS_SHIFT_BITS: typing.ClassVar = BASIS_SHIFT_BITS

    bits: int = parameter(8, Integer(4, 8), tag="b",
                          help="width of a weight of the preview, signed; a byte in memory")
    full_bits: int = parameter(12, Integer(8, 16), tag="fb",
                               help="width of a weight of the full view, signed; one byte or two "
                                    "in memory")
    hidden_bits: int = parameter(12, Integer(6, 16), tag="hb",
                                 help="width of an element of a hidden vector, signed")
    tail_shift: int = parameter(
        Derived(lambda config: max(config.full_bits - config.bits, 0), "full_bits - bits"),
        Integer(0, 12), tag="ts",
        help="log2 of a step of the preview's sums in steps of the full view's")
    residual: bool = parameter(
        Derived(lambda config: config.full_bits > config.bits, "full_bits > bits"), Flag(),
        tag="re", help="the full view has all columns: what the preview's weights lack of theirs, "
                       "and the others; false: the others only")
    dim: int = parameter(384, Integer(1, 1024), tag="d", help="columns of the matrix")
    max_vocab: int = parameter(32768, Integer(1, 1 << 20), tag="v", help="words at most")
    max_preview: int = parameter(Derived(lambda config: config.dim, "dim"), Integer(1, 1024),
                                 tag="w", help="columns of the preview at most, up to dim")
    max_count: int = parameter(Derived(lambda config: config.max_vocab, "max_vocab"),
                               Integer(1, 1 << 20), tag="n",
                               help="words of the full view at most, up to max_vocab")
    lanes: int = parameter(16, Choice((1, 2, 4, 8, 16, 32, 64)), tag="l",
                           help="multiply-accumulates per cycle; at most port_bits / 8")
    port_bits: int = parameter(128, Choice((64, 128, 256, 512)), tag="p",
                               help="width of the memory port")
    burst: int = parameter(16, Choice((1, 2, 4, 8, 16, 32, 64, 128, 256)), tag="bu",
                           help="words of a memory request at most; none crosses 4 KiB")
    queue: int = parameter(128, Choice((16, 32, 64, 128, 256, 512)), tag="q",
                           help="words that may be requested and not yet used")
    logit_scale: float = parameter(2.0 ** -8, PositiveReal(), tag="xs",
                                   help="real value of one logit step")
    softmax: str = parameter(SOFTMAX, SoftmaxChoice(), tag="",
                             help="softmax unit of one pass, its preset and parameters")
    out_bits: int = parameter(16, Integer(4, 16), tag="o", help="width of a probability, unsigned")
    transform: str = parameter("engine", Choice(("engine", "supplied")), tag="t",
                               help="whether h = V^T x is computed by the engine, or supplied")
    whole: bool = parameter(False, Flag(), tag="wh",
                            help="put out all words, not those of the full view only")
    memory: str = parameter("auto", Choice(("auto", "block", "distributed")), tag="m",
                            help="memory of the stores; auto takes block RAM above 4096 bits")

    def __post_init__(self):
        super().__post_init__()
        self._require("max_preview", self.max_preview <= self.dim, f"at most dim ({self.dim})")
        self._require("max_count", self.max_count <= self.max_vocab,
                      f"at most max_vocab ({self.max_vocab})")
        self._require("logit_scale", 2.0 ** -14 <= self.logit_scale <= 0.25, "2^-14 to 1/4")
        # Of rows that every unit takes: one of two passes is refused by its kind.
        self._require("softmax", self._softmax(1).running, "one of one pass: softmax-e2, "
                      "softmax-softermax, softmax-rexp:online or softmax-lut2d:online")
        _ = self.softmax_config
        self._require("burst", self.burst <= self.queue, f"at most queue ({self.queue})")
        words = PAGE // self.port_bytes
        self._require("burst", self.burst <= words, f"at most {words}, which are 4 KiB")
        self._require("lanes", self.lanes <= self.port_bytes,
                      f"at most port_bits / 8 ({self.port_bytes})")

    # Numbers -----------------------------------------------------------------------------------

    @property
    def hidden_range(self):
        """Least and largest element of a hidden vector."""
        return signed_range(self.hidden_bits)

    def _dot_range(self, bits, count):
        """Range of a sum of products of weights and elements of a hidden vector."""
        largest = count << (bits - 1 + self.hidden_bits - 1)
        return -largest, largest

    @property
    def preview_range(self):
        """Range of ``z``: products of the preview's columns and a bias."""
        low, high = self._dot_range(self.bits, self.max_preview)
        least, most = signed_range(BIAS_BITS)
        return low + least, high + most

    @property
    def preview_bits(self):
        """Width of ``z``, signed. It can not overflow."""
        return signed_width(*self.preview_range)

    @property
    def tail_range(self):
        """Range of the sum of products of the full view."""
        return self._dot_range(self.full_bits, self.dim)

    @property
    def full_view_bits(self):
        """Width of ``f``, signed. It can not overflow."""
        low, high = self.tail_range
        least, most = self.preview_range
        return signed_width((least << self.tail_shift) + low, (most << self.tail_shift) + high)

    @property
    def basis_range(self):
        """Range of a row of the basis times a hidden vector, plus the row's offset."""
        low, high = self._dot_range(BASIS_BITS, self.dim)
        least, most = signed_range(OFFSET_BITS)
        return low + least, high + most

    @property
    def weight_bits(self):
        """Width of the multipliers' operand for weights, signed: one byte or two."""
        return 16 if self.full_bits > 8 or self.transform == "engine" else 8

    @property
    def row_bits(self):
        """Width of a sum of products of a row of any kind, signed."""
        return signed_width(*self._dot_range(self.weight_bits, self.dim))

    @property
    def value_bits(self):
        """Width of what is rounded: sum of a row and what is added to it, signed."""
        ranges = [self.preview_range, (-(1 << self.full_view_bits - 1), 0)]
        if self.transform == "engine":
            ranges.append(self.basis_range)
        return max(self.row_bits, *(signed_width(*each) for each in ranges))

    def hidden(self, total, shift):
        """Element of ``h`` from the sum of a row of the basis. Works on arrays."""
        return clip(round_shift_by(total, shift), *self.hidden_range)

    def preview_logit(self, z, shift):
        """Logit of a preview. Works on arrays."""
        return clip(round_shift(z, shift), *signed_range(LOGIT_BITS))

    def full_logit(self, f, shift):
        """Logit of a full view. Works on arrays."""
        return clip(round_shift(f, shift + self.tail_shift), *signed_range(LOGIT_BITS))

    @property
    def log_scale(self):
        """Real value of one step of the log-partition."""
        return self.logit_scale / (1 << LOG_FRACTION_BITS)

    @functools.cached_property
    def log_numbers(self):
        """Numbers of the log-partition."""
        return LogNumbers(bits=LOGIT_BITS, logit_scale=self.logit_scale, log_scale=self.log_scale,
                          max_length=self.max_vocab)

    @property
    def log_bits(self):
        """Width of the log-partition, signed; a step is :attr:`log_scale`."""
        return self.log_numbers.result_bits

    @functools.cached_property
    def softmax_config(self):
        """Configuration of the softmax unit: rows of all words, one logit per beat."""
        return self._softmax(self.max_vocab)

    def _softmax(self, length):
        return SoftmaxChoice.config(
            self.softmax, OWN, bits=LOGIT_BITS, input_scale=self.logit_scale,
            out_bits=self.out_bits, lanes=1, max_length=length, max_rows=32)

    @property
    def output_scale(self):
        """Real value of one step of a probability."""
        return self.softmax_config.output_scale

    # Memory ------------------------------------------------------------------------------------

    @property
    def port_bytes(self):
        """Bytes of a word of the memory port."""
        return self.port_bits // 8

    @property
    def image(self):
        """Layout of the image in the memory."""
        return ImageLayout(dim=self.dim, port_bytes=self.port_bytes,
                           tail_bytes=1 if self.full_bits == 8 else 2, residual=self.residual,
                           with_basis=self.transform == "engine")

    @property
    def job_bits(self):
        """Width of a number of words of the longest section that is read at once."""
        layout = self.image
        return max(layout.header_words, self.dim * layout.basis_row_words,
                   *(layout.preview_words(self.max_vocab, columns)
                     for columns in (1, self.max_preview))).bit_length()

    @property
    def wide_lanes(self):
        """Lanes that are used for weights of two bytes."""
        return min(self.lanes, self.port_bytes // 2)

    @property
    def tail_lanes(self):
        """Lanes that are used for the full view."""
        return self.lanes if self.full_bits == 8 else self.wide_lanes

    @property
    def vector_words(self):
        """Words of a vector at most: of ``lanes`` or fewer elements, in two parts."""
        return -(-self.dim // min(self.tail_lanes, self.wide_lanes)) + 2

    def create(self):
        """Create the unit's hardware."""
        return SvdSoftmax(self)

    @property
    def token_overhead(self):
        """Cycles of a vector that do not grow with it: a clear, two searches, and pipelines."""
        return 3 * 256 + 50

    def token_cycles(self, vocabulary, columns, count):
        """Cycles from one vector to the next, with a memory that answers at once, but for a few.

        Its elements, the transform and the preview, behind which the outputs of the vector before
        leave; the scan for the threshold, the selection with its full views (whichever takes
        longer), and the softmax. A full softmax on the same engine has all columns in the preview:
        ``token_cycles(vocabulary, dim, 1)``.
        """
        layout = self.image
        blocks = -(-vocabulary // layout.block_rows)
        basis = self.dim * (1 + -(-self.dim // self.wide_lanes)) * layout.with_basis
        # The histogram is cleared meanwhile.
        loaded = max(self.dim + basis, 256)
        preview = blocks * (1 + layout.block_rows * -(-columns // self.lanes))
        tail = count * max(-(-layout.tail_columns(columns) // self.tail_lanes), 1)
        return (max(loaded + preview, self.softmax_config.latency + vocabulary)
                + 2 * vocabulary + max(vocabulary, tail) + self.token_overhead)

    @property
    def latency(self):
        """Clock cycles from a vector's last beat accepted to its first output valid.

        With one word, one column in the preview, and a memory that answers in the next cycle. It
        grows with the words, as :meth:`token_cycles` does.
        """
        return self.token_cycles(1, 1, 1) - self.dim + self.softmax_config.latency

    @property
    def streams_out(self):
        """Names of the streams out."""
        return ("request", "o")

    @property
    def causes(self):
        """What each bit of the output ``causes`` stands for, by its name, lowest bit first."""
        return {"SETUP": "V, W or N of a setup was out of range",
                "IMAGE": "the image in memory does not fit the unit",
                "RESPONSE": "memory answered a request with another length",
                "VECTOR": "a vector ended early"}

    @property
    def data_sheet(self):
        """Formats, framing and timing, as the emitted file says them."""
        return sheet_of(self)

    @property
    def source(self) -> str:
        """``h``: each hidden vector becomes one packet of the output."""
        return "h"

    @property
    def packet_elements(self) -> int:
        """A hidden vector becomes one packet of the output."""
        return self.dim

    @property
    def memory_ports(self) -> Mapping[str, str]:
        """The port behind which the image is."""
        return {"request": "response"}

    @property
    def constants(self) -> Mapping[str, tuple[int, str]]:
        """What an image's header must hold, and bounds of a setup."""
        return {
            "IMAGE_HASH": (self.image_hash, "word 1 of an image's header"),
            "DIM": (self.dim, "elements of a hidden vector"),
            "MAX_VOCAB": (self.max_vocab, "words V of a setup at most"),
            "MAX_PREVIEW": (self.max_preview, "columns W of a setup at most"),
            "MAX_COUNT": (self.max_count, "words N of the full view at most"),
            "WHOLE": (int(self.whole), "1: a vector has V outputs; 0: N")}

    @property
    def streams(self):
        """Layout of the beats of each stream, by its name; the output comes last."""
        return {"setup": WordLayout.setup(), "h": WordLayout.hidden(self.hidden_bits),
                "response": WordLayout.response(self.port_bytes),
                "request": WordLayout.request(), "o": WordLayout.output()}

    @functools.cached_property
    def image_hash(self):
        """32 bits that an image's header must hold: SHA-256 of what its layout follows from."""
        names = ("bits", "full_bits", "hidden_bits", "tail_shift", "residual", "dim", "port_bits",
                 "logit_scale", "transform")
        values = {"layout": ImageLayout.VERSION, **{name: getattr(self, name) for name in names}}
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()
        return int.from_bytes(digest[:4], "big")


def round_shift_by(value, shift):
    """``value / 2**shift``, rounded half up, where the shift is an array too."""
    return (value + ((1 << shift) >> 1)) >> shift
