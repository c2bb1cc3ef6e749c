"""Table of the SVD-softmax engine: simulated cycles beside a full softmax on the same engine.

Compiled simulation, behind a memory that answers after 30 to 60 cycles.
"""

from __future__ import annotations

import numpy as np

from rtl.svd.config import SvdSoftmaxConfig

from ..compiled.simulation import CompiledSimulation
from ..compiled.svd import SvdComparison
from ..emission import emitted
from ..jobs import make_job
from ..runner import Design
from ..stimuli.svd import Batch, Batches, random_image, random_vectors
from .figures import cores
from .tools import table

__all__ = ["TABLES", "Measured", "cost", "measured", "row_sizes", "simulated"]

# Cycles from a request to its first word.
LATENCY = 30, 60

DIM = 384

# Words; windows and counts: the guideline, and what keeps a real layer's top word.
WORDS = 4096
POINTS = (DIM // 8, WORDS // 16), (DIM // 16, WORDS // 100)

# Lanes and bits of the port.
PORTS = (8, 64), (16, 128)


class Measured:
    """Cycles of a vector, and what its passes did to the port.

    Attributes
    ----------
    cycles : int
        From one vector's first element to the next one's.
    words : int
        Words that were read for a vector.
    preview_use, tail_use : float
        Words per cycle while the preview was read, and the full views.
    """

    def __init__(self, config: SvdSoftmaxConfig, words: int, columns: int, count: int) -> None:
        # Large vocabularies take longer to simulate than to build.
        effort = "long" if words > SHORT else "short"
        random = np.random.default_rng(0)
        image = random_image(config, random, words, columns)
        inputs = Batches([Batch(random_vectors(config, random, 2), 0, words, count)], [image])
        design = Design.of(config, "core", emitted(config))
        job = make_job(design, inputs)
        with CompiledSimulation(design, effort=effort) as simulation:
            comparison = SvdComparison(simulation, job, "batches_back_to_back")
            comparison.start()
            # A difference from the model is an error.
            result = comparison.exchange(job.batches, memory={
                "latency": LATENCY, "record": 1 << 22})
        layout = config.image
        sizes = [layout.with_basis * config.dim * layout.basis_row_words,
                 layout.preview_words(words, columns), count * layout.tail_words(columns)]
        self.cycles = int(np.diff(result.moved["h"][::config.dim])[0])
        self.words = sum(sizes)
        taken = result.memory.taken[layout.header_words:][:self.words]
        _, preview, tail = np.split(taken, np.cumsum(sizes)[:2])
        self.preview_use, self.tail_use = (
            len(part) / (part[-1] - part[0] + 1) if len(part) else 0.0 for part in (preview, tail))


def measured(config: SvdSoftmaxConfig, words: int, columns: int, count: int) -> Measured:
    """Simulate an engine, against the model."""
    return Measured(config, words, columns, count)


# Columns of matrices whose full views are read from rows of twice as many bytes, and their words.
COLUMNS = 32, 128, 512
SHORT = 1021


def row_sizes() -> str:
    """Use of the port while the full views are read, by the size of a row."""
    rows = []
    for lanes, port in PORTS:
        for dim in COLUMNS:
            config = SvdSoftmaxConfig(dim=dim, max_vocab=1024, lanes=lanes, port_bits=port,
                                      queue=256, transform="supplied")
            columns = dim // 8
            uses = [measured(config, SHORT, columns, count).tail_use
                    for count in (SHORT // 16, SHORT // 4)]
            size = config.port_bytes * config.image.tail_words(columns)
            rows.append([f"{port} bits, {lanes} lanes", size, *(f"{use:.0%}" for use in uses)])
    return table(["port", "bytes of a row", "N = V/16", "N = V/4"], rows)


def _bytes(config: SvdSoftmaxConfig, words: int, columns: int, count: int) -> int:
    layout = config.image
    return config.port_bytes * (layout.with_basis * config.dim * layout.basis_row_words
                                + layout.preview_words(words, columns)
                                + count * layout.tail_words(columns))


def simulated() -> str:
    """Cycles and bytes of a vector, by port, window and count."""
    rows = []
    for lanes, port in PORTS:
        config = SvdSoftmaxConfig(dim=DIM, lanes=lanes, port_bits=port, queue=256)
        # A full softmax is a preview of all columns, of vectors that are not transformed.
        full = SvdSoftmaxConfig(dim=DIM, lanes=lanes, port_bits=port, queue=256,
                                transform="supplied", residual=False)
        whole = measured(full, WORDS, DIM, 1).cycles
        for columns, count in POINTS:
            found = measured(config, WORDS, columns, count)
            rows.append([
                f"{port} bits, {lanes} lanes", f"{WORDS:,}", columns, f"{count:,}",
                f"{found.cycles:,}", f"{config.token_cycles(WORDS, columns, count):,}",
                f"{whole:,}", f"{whole / found.cycles:.1f}",
                f"{_bytes(full, WORDS, DIM, 1) / _bytes(config, WORDS, columns, count):.1f}",
                f"{found.preview_use:.1%}", f"{found.tail_use:.1%}"])
    return table(["port", "V", "W", "N", "cycles, simulated", "by the formula", "full softmax",
                  "ratio", "bound of the bytes", "port in use, preview", "full views"], rows)


def cost() -> str:
    """Area and delay of the core, 64 lanes, at the vocabulary of a real layer."""
    configs = [SvdSoftmaxConfig(dim=dim, max_vocab=30_522, lanes=64, port_bits=512)
               for dim in (384, 512)]
    rows = [(c.dim, c.lanes, f"{c.max_vocab:,}", f"{f.lut:,}", f"{f.ff:,}", f.carry4, f.dsp,
             f"{f.bram:g}", f"{f.delay_ps / 1000:.2f}")
            for c, f in zip(configs, cores(configs), strict=True)]
    return table(["D", "lanes", "V", "LUT", "FF", "CARRY4", "DSP", "BRAM36", "logic delay, ns"],
                 rows)


TABLES = {"svd-cost": cost, "svd-row-sizes": row_sizes, "svd-simulated": simulated}
