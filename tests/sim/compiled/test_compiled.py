"""Compiled simulation: packing, cycles, builds, and that each planted fault is caught by name."""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np
import pytest

import rtl
from sim import runner
from sim.bench.rows import Rows, formats
from sim.bench.timing import longest_pause
from sim.compiled import build, soak
from sim.compiled.attention import compare_attention
from sim.compiled.loads import compare_loads
from sim.compiled.packing import PackedFormat, members_of
from sim.compiled.rows import RowComparison, compare_rows
from sim.compiled.simulation import CompiledSimulation, pattern_of_gaps
from sim.compiled.traffic import load_job, row_job, set_job
from sim.jobs import make_job
from sim.stimuli.layernorm import channel_parameters

E2 = rtl.unit("softmax-e2")
CONFIG = E2(lanes=3, max_length=14)
# Seconds of a test that finds a fault; what hangs takes longer.
PATIENCE = 10


@pytest.fixture(scope="module")
def compiled_store(verilator):
    """Folder of the libraries, which later runs of the tests find."""
    return build.STORE


# Packing

@pytest.mark.parametrize("ports", ["core", "axis"])
@pytest.mark.parametrize("lanes", [1, 3, 16])
@pytest.mark.parametrize("bits", [2, 8, 11])
def test_packed_beats_are_those_of_the_bench(ports, lanes, bits):
    # Rows with parameters of their own, too.
    config = E2(bits=bits, lanes=lanes, max_length=50, sink=bits > 2,
                accumulator_bits={2: 0, 8: 32, 11: 9}[bits])
    job = row_job(runner.Design(config, "", "", ports, 0), np.random.default_rng(1), 300)
    form = formats(config, ports)[0]
    packed = PackedFormat(form)
    beats = packed.rows(job.rows)
    assert beats.shape == (job.rows.beats(lanes).sum(), packed.words)
    strings = ["".join(f"{sum(int(word) << 32 * n for n, word in enumerate(part[::-1])):0{width}b}"
                       for part, width in zip(np.split(beat, cuts), widths, strict=True))
               for cuts, widths in [_signals(form)] for beat in beats[:, ::-1]]
    assert strings == form.from_rows(job.rows)
    for name, values in packed.decode(beats).items():
        expected = members_of(job.rows, form)[name]
        assert np.array_equal(values, expected.reshape(values.shape)), name


def _signals(form):
    """Where the words of a beat, highest signal first, are cut, and the widths of the signals."""
    widths = [width for _, width in reversed(form.signals)]
    return np.cumsum([-(-width // 32) for width in widths])[:-1], widths


@pytest.mark.parametrize("width", [18, 31, 32, 33, 45])
def test_elements_that_cross_words(width):
    config = rtl.unit("layernorm-ai")(lanes=3, channels=7, channel_parameters="loaded")
    form = formats(config, "core")[1]
    last = dataclasses.replace(form.fields["last"], offset=3 * width)
    form = PackedFormat(dataclasses.replace(
        form, signals=(("load__payload", 3 * width + 1),),
        fields={"data": dataclasses.replace(form.fields["data"], width=width), "last": last}))
    data = np.random.default_rng(0).integers(0, 1 << width, (50, 3))
    last = np.arange(50) % 3 == 0
    members = form.decode(form.encode(data, last=last))
    assert np.array_equal(members["data"], data)
    assert np.array_equal(members["last"].ravel(), last)


def test_patterns():
    assert pattern_of_gaps(np.array([0, 2, 1])).tolist() == [True, False, False, True, False, True]
    assert longest_pause(None) == longest_pause(np.array([True])) == 0
    assert longest_pause(np.array([False, True, False, True, False, False])) == 3


# Builds

def test_one_build_serves_all(compiled_store, monkeypatch, tmp_path):
    design = runner.Design.of(CONFIG)
    path = build.library(design, store=compiled_store)
    # What designs share is found from other stores, too.
    assert build._runtime(tmp_path) == build._runtime(compiled_store.resolve())
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr(build, "_build", None)
    assert build.library(design, store=compiled_store) == path
    other = dataclasses.replace(design, verilog=design.verilog + "\n")
    with pytest.raises(TypeError):
        build.library(other, store=compiled_store)


def test_store_forgets_what_is_old(compiled_store, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "KEPT", 1)
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "model.so").touch()
        build.os.utime(folder, (number, number))
    build._prune(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


def test_refusal_is_one_line(compiled_store):
    design = dataclasses.replace(runner.Design.of(CONFIG), verilog="module none(; endmodule")
    with pytest.raises(runner.SimulatorError, match="^Simulator verilator refuses .*%Error.*$"):
        CompiledSimulation(design, store=compiled_store)


def test_shape_of_beats_is_checked(compiled_store):
    with CompiledSimulation(runner.Design.of(CONFIG), store=compiled_store) as simulation:
        with pytest.raises(ValueError, match="Beats of i must have 1 words, not the "
                                             r"shape \(4, 2\)"):
            simulation.run({"i": np.zeros((4, 2))}, 4, patience=10)
        with pytest.raises(ValueError, match="Pattern of o must have a cycle of traffic"):
            simulation.run({}, 1, patience=10, stalls=np.zeros(3))
        result = simulation.run({}, 1, patience=10, record=5)
        assert result.failure.startswith("nothing moves for 10 cycles, after 0 output beats")
        assert result.handshakes[:, :, 0].any() == 0 and result.handshakes.shape == (5, 2, 2)
        assert result.handshakes[:, :, 1].all()


# Units

def results_of(compare, job, simulation, tests=None):
    results = compare(simulation, job, tests)
    assert {result.test: result.failure for result in results if result.failure} == {}
    assert all(result.outputs and result.beats and not result.mismatches for result in results)


@pytest.mark.parametrize("config, ports", [
    (CONFIG, "core"),
    (E2.preset("paper", lanes=4, max_length=21), "axis"),
    (rtl.unit("softmax-split").preset("plus", lanes=2, max_length=9), "core"),
    (rtl.unit("layernorm-ai")(lanes=4, channels=10), "axis"),
    (rtl.unit("layernorm-exact")(lanes=2, channels=7, row_length="variable"), "core"),
], ids=lambda value: getattr(value, "name", value))
def test_rows(config, ports, compiled_store):
    design = runner.Design.of(config, ports)
    with CompiledSimulation(design, store=compiled_store) as simulation:
        results_of(compare_rows, row_job(design, np.random.default_rng(1), 2000), simulation)


@pytest.fixture(scope="module")
def loads(compiled_store):
    """A LayerNorm whose parameters are loaded, and a job."""
    config = channel_parameters(rtl.unit("layernorm-ai")(
        lanes=4, channels=10, channel_parameters="loaded"), np.random.default_rng(2))
    design = runner.Design.of(config)
    with CompiledSimulation(design, store=compiled_store) as simulation:
        yield simulation, load_job(design, np.random.default_rng(1), 1000)


def test_loads(loads):
    simulation, job = loads
    results_of(compare_loads, job, simulation)


def attention(**parameters):
    return rtl.unit("attention")(dim=4, io_lanes=2, max_keys=9, **parameters)


@pytest.fixture(scope="module")
def sets(compiled_store):
    """An attention engine, and a job."""
    design = runner.Design.of(attention())
    with CompiledSimulation(design, store=compiled_store) as simulation:
        yield simulation, set_job(design, np.random.default_rng(1), 500)


def test_attention(sets):
    simulation, job = sets
    results_of(compare_attention, job, simulation)


def test_attention_that_reuses_maps(compiled_store):
    design = runner.Design.of(attention(reuse=True), "axis")
    with CompiledSimulation(design, store=compiled_store) as simulation:
        results_of(compare_attention, set_job(design, np.random.default_rng(1), 500), simulation)


def test_soak(compiled_store):
    result = soak.soak(CONFIG, 5000, seed=1, store=compiled_store)
    assert result.failure == "" and result.mismatches == 0
    assert result.beats >= 5000 and result.outputs > 5000


# Planted faults

class Faulty(E2):
    """E2Softmax with an input that selects a fault."""

    controls = ("fault",)


WRAPPER = """
module {name}({clock}, {reset}, {inputs}, {outputs}, error, fault);
  input {clock}, {reset}; input [7:0] fault; output error;
{declarations}
  wire core_valid, core_ready, core_error, input_ready;
  wire [{o}:0] core_payload;
  wire [{i}:0] payload;
  wire reset = {reset_high};
  wire last = core_payload[{last}];
  wire taken = core_valid & core_ready;
  wire entered = {i_valid} & {i_ready};
  reg [15:0] beats, rows, sent, silent;
  reg held, waited, twice, was;
  reg [{lanes}:0] mask;

  // A fault hits the output of row 5, or the beats behind it.
  wire lost = (fault == 1 & rows == 5 & last) | (fault == 2 & rows == 5);
  wire extra = fault == 3 & !core_valid & rows == 6 & silent == 9;
  wire late = fault == 4 & !was;
  wire withdrawn = fault == 6 & held & waited & rows == 5;
  assign {o_valid} = (core_valid & !lost & !late & !withdrawn
                      & (fault != 7 | {o_ready})) | extra;
  assign core_ready = lost | ({o_ready} & !late & !withdrawn);
  assign {i_ready} = input_ready & !(fault == 8 & sent == 9);
  assign error = core_error & fault != 9;

  reg [{o}:0] changed;
  always @* begin
    changed = core_payload;
    if (fault == 5 & held & rows == 5) changed = core_payload ^ 1;
    if (fault == 10 & rows == 5) changed = core_payload + 1;
    if (fault == 11 & last) changed[{keep_high}:{keep_low}] = -1;
    if (fault == 12 & rows == 5) changed[{last}] = 1;
    if (fault == 13 & !core_payload[{keep_high}]) changed[{top_low}] = 1;
  end

  reg [{i}:0] given;
  always @* begin
    given = payload;
    if (fault == 14) given[{mask_high}:{mask_low}] = mask;
    if (fault == 15) given[{mask_low}] = 0;
    if (fault == 16 & sent == 9) given[5] = !given[5];
  end

  always @(posedge {clock}) begin
    if (taken) beats <= beats + 1;
    if (taken & last) rows <= rows + 1;
    if (entered) sent <= sent + 1;
    if (entered) mask <= payload[{mask_high}:{mask_low}];
    silent <= core_valid ? 0 : silent + 1;
    held <= core_valid & !core_ready & !withdrawn;
    waited <= held & !core_ready;
    was <= core_valid & !core_ready;
    if (reset) begin
      beats <= 0; rows <= 0; sent <= 0; held <= 0; waited <= 0; was <= 0; mask <= 0; silent <= 0;
    end
  end
  wire core_reset = reset & fault != 17;
{instance}
endmodule
"""


def faulty(ports):
    """A design in which the input ``fault`` selects a fault; at 0 there is none."""
    config = Faulty(lanes=3, max_length=14, input_scale=0.25)
    design = runner.Design.of(config, ports)
    i, o = formats(config, ports)
    signals = {port: [(name, width) for name, width in form.signals]
               for port, form in (("i", i), ("o", o))}
    axis = ports == "axis"
    payloads = {port: "{" + ", ".join(name for name, _ in reversed(names)) + "}"
                for port, names in signals.items()}
    declarations = [f"  input [{width - 1}:0] {name};" for name, width in signals["i"]]
    declarations += [f"  output [{width - 1}:0] {name};" for name, width in signals["o"]]
    declarations += [f"  input {i.valid}, {o.ready}; output {i.ready}, {o.valid};",
                     f"  assign payload = {payloads['i']};", f"  assign {payloads['o']} = changed;"]
    slices = {port: [(name, sum(w for _, w in names[:k]), width)
                     for k, (name, width) in enumerate(names)] for port, names in signals.items()}
    pins = [f".{name}({bus}[{start + width - 1}:{start}])" for port, bus in
            (("i", "given"), ("o", "core_payload")) for name, start, width in slices[port]]
    pins += [f".{i.valid}({i.valid})", f".{i.ready}(input_ready)", f".{o.valid}(core_valid)",
             f".{o.ready}(core_ready)", ".error(core_error)",
             *([".aclk(aclk)", ".aresetn(!core_reset)"] if axis else
               [".clk(clk)", ".rst(core_reset)"])]
    data, keep, mask = o.fields["data"], o.fields["keep"], i.fields["mask"]
    wrapper = WRAPPER.format(
        name=design.top, clock="aclk" if axis else "clk", reset="aresetn" if axis else "rst",
        reset_high="!aresetn" if axis else "rst",
        inputs=", ".join([*(name for name, _ in signals["i"]), i.valid, i.ready]),
        outputs=", ".join([*(name for name, _ in signals["o"]), o.valid, o.ready]),
        declarations="\n".join(declarations), i=i.width - 1, o=o.width - 1,
        last=o.fields["last"].offset, i_valid=i.valid, i_ready=i.ready, o_valid=o.valid,
        o_ready=o.ready, lanes=config.lanes - 1, keep_low=keep.offset,
        keep_high=keep.offset + keep.lanes * keep.width - 1, mask_low=mask.offset,
        mask_high=mask.offset + mask.lanes - 1,
        top_low=data.offset + data.width * (data.lanes - 1),
        instance=f"  {design.top}_whole whole({', '.join(pins)});")
    text = re.sub(rf"\b{design.top}\b", f"{design.top}_whole", design.verilog)
    return dataclasses.replace(design, verilog=text + wrapper)


#: Name, number, tests that find it, and what they say.
FAULTS = {
    "last beat lost": (1, "rows_back_to_back rows_with_stalls",
                       r"nothing moves for \d+ cycles, after \d+ output beats and with 1 to come"),
    "output ends early": (2, "rows_back_to_back", r"nothing moves for .* with \d+ to come"),
    "extra beat": (3, "rows_back_to_back", "an output beat comes after the last one"),
    "late output": (4, "rows_back_to_back rows_with_gaps latency_of_idle_unit",
                    r"row 0 .*(came in cycle \d+ instead of|latency is \d+ instead of)"),
    "payload changes": (5, "rows_with_stalls rows_to_patient_sink",
                        r"output beat \d+ changes while it waits, in cycle"),
    "valid withdrawn": (6, "rows_to_patient_sink",
                        r"output beat \d+ is withdrawn while it waits, in cycle"),
    "valid waits for ready": (7, "rows_to_patient_sink", "nothing moves for .* after 0 output"),
    "input is shut": (8, "rows_back_to_back rows_with_gaps_and_stalls", "nothing moves for"),
    "no error": (9, "over_long_row malformed_keep", "error is 0 instead of 1"),
    "word off by one": (10, "rows_back_to_back rows_with_gaps",
                        r"row 5 \(random, \d+ elements\), beat 0: element 0 is \d+ instead of "
                        r"\d+ in cycle \d+"),
    "keep of the last beat": (11, "rows_back_to_back", r"row \d+ .*: keep is 1+ instead of 0+1+ "),
    "row ends early": (12, "rows_back_to_back", r"row 5 .*, beat 0: last is 1 instead of 0"),
    "lane that is not kept": (13, "rows_back_to_back", r"lane 2, which is not kept, is \d+"),
    "mask of the beat before": (14, "rows_back_to_back rows_with_gaps",
                                r"row \d+ .*: element \d+ is \d+ instead of \d+"),
    "mask of lane 0 ignored": (15, "rows_back_to_back", r"row \d+ .*: element \d+ is \d+ instead"),
    "input bit inverted": (16, "rows_back_to_back rows_with_gaps_and_stalls",
                           r"row \d+ .*: element \d+ is \d+ instead of \d+"),
    "no reset": (17, "rows_back_to_back", "(row 0|error is|nothing moves|an output beat)"),
}


@pytest.fixture(scope="module", params=["core", "axis"])
def faults(request, compiled_store):
    """A faulty simulation, and a job of six rows: the last one is row 5."""
    design = faulty(request.param)
    random = np.random.default_rng(5)
    rows = Rows.of(("random", random.integers(-20, 20, length), random.random(length) < 0.3)
                   for length in (7, 14, 2, 5, 14, 11))
    with CompiledSimulation(design, store=compiled_store) as simulation:
        yield simulation, make_job(design, rows)


def test_faultless(faults):
    simulation, job = faults
    simulation.control("fault", 0)
    results_of(compare_rows, job, simulation)


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name, faults):
    simulation, job = faults
    number, tests, message = FAULTS[name]
    simulation.control("fault", number)
    for result in compare_rows(simulation, job, tests.split()):
        assert re.search(message, result.failure), result
        assert result.seconds < PATIENCE


def test_every_test_finds_a_fault():
    """Every test of rows is one that some fault needs, but for the resets'."""
    named = {test for _, tests, _ in FAULTS.values() for test in tests.split()}
    assert set(RowComparison.TESTS) - named == {"reset_within_row"}


# Faults of stimuli, which look like those of a unit

def failure(compare, simulation, job, test):
    (result,) = compare(simulation, job, [test])
    assert result.seconds < PATIENCE
    return result.failure


def test_loads_that_differ(loads):
    simulation, job = loads
    found = functools.partial(failure, compare_loads, simulation)
    wrong = r"^row \d+ \(random, 10 elements\), beat \d: element \d is -?\d+ instead of -?\d+ in"
    # Parameters that hold a load early or late, and one gamma that is off by one.
    for shift in 1, -1:
        rolled = dataclasses.replace(job, expected=np.roll(job.expected, shift, axis=0))
        assert re.search(wrong, found(rolled, "loads_back_to_back"))
    configs = job.loads.configs
    gamma = list(configs[2].gammas)
    gamma[9] += 1 if gamma[9] < 0 else -1
    loads = [*configs[:2], dataclasses.replace(configs[2], gamma=tuple(gamma))]
    other = dataclasses.replace(job, loads=dataclasses.replace(job.loads, configs=loads))
    assert "element 9 is" in found(other, "loads_with_gaps_and_stalls")
    few = dataclasses.replace(job.loads, rows=job.loads.rows.take([0]))
    assert "not all loads were taken" in found(
        dataclasses.replace(job, loads=few, expected=job.expected[:, :10]), "loads_back_to_back")


def test_sets_that_differ(sets):
    simulation, job = sets
    found = functools.partial(failure, compare_attention, simulation)
    number = next(n for n, keys in enumerate(job.sets)
                  if 0 < keys.mask.sum() < len(keys.k) - 1
                  and len(np.unique(keys.y, axis=0)) > 4 < len(np.unique(keys.k, axis=0)))

    def changed(name):
        one = job.sets[number]
        other = dataclasses.replace(one, **{name: np.roll(getattr(one, name), 1, axis=0)})
        return dataclasses.replace(job, sets=[*job.sets[:number], other, *job.sets[number + 1:]])

    wrong = rf"^set {number} of \d keys, query \d+: element \d is -?\d+ instead of -?\d+ in cycle"
    # A mask that hits the next key, and vectors in another order.
    for name in "mask", "k", "v":
        for test in "sets_back_to_back", "sets_with_gaps_and_stalls":
            assert re.search(wrong, found(changed(name), test)), name
    missing = dataclasses.replace(job, sets=job.sets[:1] + [dataclasses.replace(
        job.sets[1], q=job.sets[1].q[:-1])])
    assert re.search(r"nothing moves for \d+ cycles, after \d+ output beats and with [1-9]",
                     found(missing, "sets_with_stalls"))


def test_latency_that_differs(faults, sets):
    for (simulation, job), compare, test in (
            (faults, compare_rows, "latency_of_idle_unit"),
            (sets, compare_attention, "latency_of_idle_engine")):
        for name in simulation.design.config.controls:
            simulation.control(name, 0)
        design = simulation.design
        try:
            simulation.design = dataclasses.replace(design, latency=design.latency + 1)
            message = failure(compare, simulation, job, test)
        finally:
            simulation.design = design
        assert re.search(r"latency.* is \d+ instead of \d+", message)
