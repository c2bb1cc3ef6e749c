"""SVD-softmax engine against its model, in Amaranth's simulator, and in bulk, compiled."""

import dataclasses
import os

import numpy as np
import pytest

import rtl
from sim.bench.svd import broken_setups, foreign, placed
from sim.compiled.simulation import CompiledSimulation
from sim.compiled.svd import SvdComparison
from sim.data import real
from sim.emission import emitted
from sim.jobs import make_job
from sim.runner import Design, Simulation
from sim.stimuli.svd import Batch as Vectors
from sim.stimuli.svd import Batches, random_image, random_vectors
from sim.svd import masked_words
from sim.svd.basis import factorise
from sim.svd.errors import SvdError
from sim.svd.head import Head
from sim.svd.quantise import quantise
from sim.testing.svd import Batch, PortMemory, expected, run

Config = rtl.unit("svd-softmax")


def image_of(config, words, columns, seed=1):
    return random_image(config, np.random.default_rng(seed), words, columns)


def test_all_words_and_all_columns():
    """Images of W = D, of N = V and of a V that fills no block; gaps, stalls and a slow memory."""
    config = Config(dim=11, max_vocab=30, port_bits=64, lanes=4, burst=4, queue=16)
    random = np.random.default_rng(2)
    wide, narrow = image_of(config, 29, 11), image_of(config, 30, 3)
    batches = [Batch(random_vectors(config, random, 1), wide, count=29),
               Batch(random_vectors(config, random, 1), narrow, vocabulary=23, count=4,
                     address=1 << 20)]
    memory = PortMemory({0: wide.pack(config), 1 << 20: narrow.pack(config)},
                        latency=range(30, 61), gap=0.2, refuse=0.3)
    ran = run(config.create(), batches, memory, outputs=2, gap=0.2, stall=0.3)
    assert ran.rows == [row for batch in batches for row in expected(config, batch)]
    assert ran.causes == []


def test_supplied_vectors_on_one_lane():
    """Full views of the other columns only, of one byte; W = D has none of them.

    Outputs are stalled, so that the preview of the next vector has to wait for them.
    """
    config = Config(dim=7, max_vocab=53, port_bits=64, lanes=1, burst=1, queue=16, full_bits=8,
                    transform="supplied", residual=False, whole=True)
    random = np.random.default_rng(3)
    wide, narrow = image_of(config, 19, 7), image_of(config, 53, 2)
    batches = [Batch(random_vectors(config, random, 2), narrow, count=17),
               Batch(random_vectors(config, random, 2), wide, count=3, address=1 << 16)]
    memory = PortMemory({0: narrow.pack(config), 1 << 16: wide.pack(config)})
    ran = run(config.create(), batches, memory, outputs=4, stall=0.93)
    assert ran.rows == [row for batch in batches for row in expected(config, batch)]
    # The second vector's preview begins before the last word of the first one leaves.
    layout = config.image
    begins = layout.header_words + layout.preview_words(53, 2) + 17 * layout.tail_words(2)
    assert ran.taken[begins] < ran.ends[0]


@pytest.mark.parametrize("dim, words, parameters", [
    (1, 1, {"whole": True}), (1, 3, {"transform": "supplied"}), (2, 1, {"full_bits": 12}),
    (1, 9, {"residual": False})])
def test_least_layers(dim, words, parameters):
    """The header is longer than all that comes behind it; a vector behind rows of no part."""
    config = Config(dim=dim, max_vocab=words, port_bits=64, lanes=1, queue=16, **parameters)
    batch = Batch(random_vectors(config, np.random.default_rng(5), 3),
                  image_of(config, words, 1), count=1)
    memory = PortMemory({0: batch.image.pack(config)})
    outputs = 3 * (words if config.whole else 1)
    ran = run(config.create(), [batch], memory, outputs=outputs)
    assert ran.rows == expected(config, batch) and ran.causes == []


def test_setups_that_are_refused():
    """No words, and an image with another hash: their vectors go, the setup behind is as good."""
    config = Config(dim=3, max_vocab=8, port_bits=64, lanes=2, burst=2, queue=16)
    image = image_of(config, 8, 2)
    good = Batch(random_vectors(config, np.random.default_rng(4), 1), image, count=3)
    content, _ = placed(config, [image])
    raw = [([0, 0, 2, 3], [1, 2, 3], [0, 0, 1]),
           ([foreign(content), *good.registers[1:]], [1, 2, 3], [0, 0, 1]),
           (good.registers, good.x[0].tolist(), [0, 0, 1])]
    ran = run(config.create(), [], PortMemory({0: content.tobytes()}), outputs=1, raw=raw)
    assert ran.rows == expected(config, good)
    assert ran.causes == ["SETUP", "IMAGE"]


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_response_of_another_length(extra):
    """The outputs are of no use; the cause is found once, so that it can be cleared."""
    config = Config(dim=3, max_vocab=8, port_bits=64, lanes=2, burst=2, queue=16)
    batch = Batch(random_vectors(config, np.random.default_rng(4), 1), image_of(config, 8, 2),
                  count=3)
    memory = PortMemory({0: batch.image.pack(config)},
                        lengths=lambda number, words: words + extra * (number == 1))
    ran = run(config.create(), [batch], memory, outputs=1)
    assert ran.causes == ["RESPONSE"]


def test_ways_to_refuse():
    """One for each register, and for the image."""
    config = Config(dim=3, max_vocab=9, port_bits=64, lanes=2, burst=2, queue=16)
    image = image_of(config, 8, 2)
    job = make_job(Design(config, "dut", "", "core", 1), Batches(
        [Vectors(np.zeros((1, 3), int), 0, 8, 3)], [image]))
    ways = list(broken_setups(config, job.batches[0], foreign(job.content)))
    assert {cause for _, cause, _ in ways} == {"SETUP", "IMAGE"} and len(ways) == 10


# Compiled ----------------------------------------------------------------------------------------

def outcome(config, inputs, **memory):
    """Result of batches against the model, and what the engine did, compiled."""
    design = Design.of(config, "core", emitted(config))
    job = make_job(design, inputs)
    with CompiledSimulation(design) as simulation:
        comparison = SvdComparison(simulation, job, "batches_back_to_back")
        comparison.start()
        return comparison.exchange(job.batches, memory={"record": 1 << 20, **memory})


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [
    {"lanes": 8, "port_bits": 64, "burst": 16}, {"lanes": 16, "port_bits": 128, "burst": 8}],
    ids=["64 bits", "128 bits"])
def test_cycles_and_use_of_the_port(verilator, parameters):
    """A prime V, a memory of 30 to 60 cycles: no mismatch, cycles as said, a port in use."""
    config = Config(dim=64, max_vocab=1024, queue=128, transform="supplied", **parameters)
    random = np.random.default_rng(5)
    image, vectors = image_of(config, 1021, 48), 4
    inputs = Batches([Vectors(random_vectors(config, random, vectors), 0, 1021, 64)], [image])
    result = outcome(config, inputs, latency=(30, 60))
    starts = result.moved["h"][::config.dim]
    assert len(starts) == vectors
    said = config.token_cycles(1021, 48, 64)
    # The latency of the memory, and stalls of the selection, are not in the formula.
    more = np.diff(starts) / said - 1
    assert -0.01 < more.min() and more.max() < 0.05
    # Words of the first preview, from the first one to the last.
    words = config.image.preview_words(1021, 48)
    taken = result.memory.taken[config.image.header_words:][:words]
    assert words / (taken[-1] - taken[0] + 1) >= 0.9


@pytest.mark.slow
def test_the_same_for_any_lanes_latency_and_bursts(verilator):
    """Outputs of engines of other lanes and ports, behind other memories."""
    random = np.random.default_rng(6)
    found = []
    for number, (lanes, port, burst, latency) in enumerate(
            [(1, 64, 1, (1, 1)), (32, 256, 64, (30, 60))]):
        config = Config(dim=24, max_vocab=300, lanes=lanes, port_bits=port, burst=burst,
                        queue=128)
        if not number:
            image, x = image_of(config, 293, 6), random_vectors(config, random, 2)
        inputs = Batches([Vectors(x, 0, 293, 30)], [dataclasses.replace(image)])
        found.append(outcome(config, inputs, latency=latency).beats)
    assert np.array_equal(*found)


# Words of the real layer, from the first common one of its vocabulary on.
FIRST = 1996


@pytest.fixture(scope="module")
def layer():
    if not os.environ.get(real.DATA):
        pytest.skip("no folder of data in TRANSFORMER_RTL_DATA")
    try:
        return masked_words.load()
    except SvdError as error:
        pytest.skip(str(error))


def real_inputs(layer, config, words, vectors):
    """Vectors for words of the real layer in the whitened basis, and the exact layer's best."""
    head, states = layer
    head = Head.of(head.matrix[FIRST:][:words], head.bias[FIRST:][:words])
    window, count = head.dim // 16, words // 16
    calibration, hidden = states.hidden[:1500], states.hidden[1500:][:vectors]
    quantised = quantise(factorise(head, "whitened", calibration), config, window, count,
                         calibration)
    return (Batches([Vectors(quantised.codes(hidden), 0, words, count)], [quantised.image]),
            head.logits(hidden).argmax(axis=1))


@pytest.mark.slow
def test_a_real_layer(verilator, layer):
    """Words of a real output layer, transformed in the engine: exact, and its best ones are."""
    config = Config(max_vocab=4096)
    inputs, best = real_inputs(layer, config, 4093, 3)
    beats = outcome(config, inputs, latency=(30, 60)).beats
    job = make_job(Design(config, "dut", "", "core", 1), inputs)
    assert len(beats) == len(job.batches[0].y) == 3 * 255
    y = job.batches[0].y.reshape(3, 255, 4)
    found = np.take_along_axis(y[..., 0], y[..., 1].argmax(axis=1)[:, None], 1)[:, 0]
    assert (found & 0xFFFFFF).tolist() == best.tolist()


@pytest.mark.slow
def test_a_real_layer_on_icarus(icarus, layer, tmp_path):
    """Transformed vectors: the engine's transform takes twice the time of all the rest."""
    config = Config(max_vocab=1021, transform="supplied")
    design = Design.of(config, "core", emitted(config))
    job = make_job(design, real_inputs(layer, config, 1021, 1)[0])
    result, = Simulation(design, "icarus", tmp_path).run(job, ["batches_back_to_back"])
    assert not result.failure and result.outputs and not result.mismatches
