"""Takes the run-time registers, and checks them against the header of the image."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .image import HEADER, MAGIC
from .words import SETUP_WORDS, WordLayout, job_layout

__all__ = ["Setup", "geometry_layout"]


def geometry_layout(config):
    """Layout of what a setup says: registers, and what follows from them and from the header."""
    words = config.vector_words
    return data.StructLayout({
        "vocabulary": range(config.max_vocab + 1), "columns": range(config.max_preview + 1),
        "count": range(config.max_count + 1), "shift": config.SHIFT_BITS,
        "preview": 32, "preview_words": config.job_bits, "preview_rows": range(
            config.max_vocab + config.image.block_rows + 1),
        "preview_parts": range(words + 1),
        "tail": 32, "tail_words": config.job_bits, "tail_parts": range(words + 1), "basis": 32})


class Setup(wiring.Component):
    """Registers of the engine, from a beat of ``setup`` and the image's header.

    A beat holds :data:`~rtl.svd.words.SETUP_WORDS`. ``vocabulary``, ``preview`` and ``count`` must
    be 1 or more and no more than their maxima, ``count`` no more than ``vocabulary``. Then the
    header is read, whose magic number, hash and ``preview_columns`` must fit, and whose
    ``vocabulary`` must not be less.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    setup : In(stream.Signature(WordLayout.setup()))
        Registers.
    open : In(1)
        A beat may be taken.
    job : Out(stream.Signature(job_layout(32, config.job_bits)))
        The read of the header.
    words : In(stream.Signature(config.port_bits))
        Words of the header.
    geometry : Out(geometry_layout(config))
        Registers; valid from ``done`` on with ``good``.
    done : Out(1)
        Pulses when a setup is complete, good or not.
    good : Out(1)
        With ``done``: nothing is wrong.
    refused, mismatch : Out(1)
        Pulses: a register is out of its range; the image does not fit.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "setup": In(stream.Signature(WordLayout.setup())), "open": In(1),
            "job": Out(stream.Signature(job_layout(32, config.job_bits))),
            "words": In(stream.Signature(unsigned(config.port_bits))),
            "geometry": Out(geometry_layout(config)),
            "done": Out(1), "good": Out(1), "refused": Out(1), "mismatch": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        layout = config.image
        given = {name: Signal(32, name=f"given_{name}") for name in SETUP_WORDS}
        header = {name: Signal(32, name=f"header_{name}") for name in HEADER
                  if name not in ("count", "size", "crc")}
        size = (config.port_bytes - 1).bit_length()
        number = Signal(range(layout.header_words + 1))
        bad = Signal(7)
        wrong = Signal(4)
        m.d.sync += [
            bad.eq(Cat(given["vocabulary"] == 0, given["vocabulary"] > config.max_vocab,
                       given["preview"] == 0, given["preview"] > config.max_preview,
                       given["count"] == 0, given["count"] > config.max_count,
                       given["count"] > given["vocabulary"])),
            wrong.eq(Cat(header["magic"] != MAGIC, header["hash"] != config.image_hash,
                         header["vocabulary"] < given["vocabulary"],
                         header["preview_columns"] != given["preview"])),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.setup.ready.eq(self.open)
                with m.If(self.open & self.setup.valid):
                    m.d.sync += [given[name].eq(self.setup.p.data[k])
                                 for k, name in enumerate(SETUP_WORDS)]
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "CHECKED"
            with m.State("CHECKED"):
                m.d.sync += number.eq(0)
                with m.If(bad.any()):
                    m.d.comb += [self.done.eq(1), self.refused.eq(1)]
                    m.next = "IDLE"
                with m.Else():
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.job.valid.eq(1)
                with m.If(self.job.ready):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.words.ready.eq(1)
                with m.If(self.words.valid):
                    m.d.sync += number.eq(number + 1)
                    for k, name in enumerate(HEADER):
                        place, offset = divmod(4 * k, config.port_bytes)
                        if name in header:
                            with m.If(number == place):
                                m.d.sync += header[name].eq(
                                    self.words.payload.word_select(offset // 4, 32))
                    with m.If(number == layout.header_words - 1):
                        m.next = "COMPARE"
            with m.State("COMPARE"):
                m.next = "DERIVE"
            with m.State("DERIVE"):
                # The number of the preview's words is a product, one cycle behind its factors.
                m.next = "PRODUCT"
            with m.State("PRODUCT"):
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += [self.done.eq(1), self.good.eq(~wrong.any()),
                             self.mismatch.eq(wrong.any())]
                m.next = "IDLE"
        m.d.comb += [self.job.p.address.eq(given["address"]),
                     self.job.p.words.eq(layout.header_words)]

        def groups(value, each):
            return (value + each - 1) >> (each - 1).bit_length()

        geometry = self.geometry
        columns = given["preview"][:config.max_preview.bit_length()]
        behind = Signal(range(config.dim + 1))
        blocks = Signal(range(config.max_vocab + 1))
        block_words = Signal(range(layout.block_words(config.max_preview) + 1))
        m.d.sync += [
            behind.eq(config.dim if layout.residual else config.dim - columns),
            blocks.eq(groups(given["vocabulary"][:config.max_vocab.bit_length()],
                             layout.block_rows)),
            block_words.eq(1 + groups(columns, config.port_bytes) * layout.block_rows),
            geometry.vocabulary.eq(given["vocabulary"]), geometry.columns.eq(columns),
            geometry.count.eq(given["count"]), geometry.shift.eq(header["shift"]),
            geometry.preview.eq(given["address"] + header["preview"]),
            geometry.tail.eq(given["address"] + header["tail"]),
            geometry.basis.eq(given["address"] + header["basis"]),
            geometry.preview_words.eq(blocks * block_words),
            geometry.preview_rows.eq(blocks * layout.block_rows),
            geometry.preview_parts.eq(groups(columns, config.lanes)),
            geometry.tail_words.eq(groups(behind * layout.tail_bytes, 1 << size)),
            geometry.tail_parts.eq(groups(behind, config.tail_lanes)),
        ]
        return m
