"""Switching activity: what counts as a register, its loads, and toggles out of waves."""

import types

import numpy as np
import pytest

import rtl
from sim import runner
from sim.bench.rows import Rows
from sim.jobs import make_job
from sim.report import switching as activity
from sim.testing.passthrough import simulate

COUNTER = types.SimpleNamespace(top="top", verilog="""
module part(input clk, input [3:0] i, output [7:0] o);
  reg [3:0] held;
  always @(posedge clk) held <= i;
  assign o = held * i;
endmodule
module top(input clk, output [7:0] o);
  reg [3:0] count = 0;
  always @(posedge clk) count <= count + 1;
  part unit(.clk(clk), .i(count), .o(o));
endmodule
""")

WAVES = """$timescale 1ps $end
$scope module top $end
 $var wire 1 ! clk $end
 $var wire 4 " count [3:0] $end
 $scope module unit $end
  $var wire 4 # held [3:0] $end
  $var wire 8 $ o [7:0] $end
 $upscope $end
$upscope $end
$enddefinitions $end
#0
0!
b0000 "
bxxxx #
b00000000 $
#5
1!
b0001 "
b0000 #
#10
0!
#15
1!
b0010 "
b0001 #
b00000010 $
"""


def test_loads():
    registers = activity.loads(COUNTER)
    # A bit of a factor is in as many partial products as the other factor has bits.
    assert registers[("top", "unit")] == {"held": [4] * 4}
    # The adder, and the part.
    assert registers[("top",)] == {"count": [2] * 4}


def test_measure(tmp_path):
    waves = tmp_path / "waves.vcd"
    waves.write_text(WAVES)
    assert len(list(activity.changes(waves))) == 3 + 2 + 1 + 1
    # count: 0 to 1, 1 to 2; held: 0 to 1.
    assert activity.measure(COUNTER, waves) == activity.Activity(1 + 2 + 1, 2 * 3 + 4)


# Rows of 12 beats of two elements, zero or random, with a clock of their own: built in no time.
DRIVER = """
module driver;
  reg clk = 0, rst = 1; integer n;
  reg [{width}-1:0] payload; wire ready, valid, error; wire [{out}-1:0] result;
  {top} {top}(.clk(clk), .rst(rst), .i__payload(payload), .i__valid(!rst), .i__ready(ready),
    .o__payload(result), .o__valid(valid), .o__ready(1'b1), .error(error));
  initial begin
    $dumpfile("{file}");
    $dumpvars;
    payload = 0; #1 clk = 1; #1 clk = 0; rst = 0;
    for (n = 0; n < 240; n = n + 1) begin
      payload[{data} +: 16] = {random} ? $random : 0;
      payload[{keep} +: 2] = 3;
      payload[{last}] = n % 12 == 11;
      #1 clk = 1; #1 clk = 0;
    end
    $display("error=%b", error);
  end
endmodule
"""


@pytest.mark.parametrize("unit", ["softmax-e2", "softmax-rexp"])
def test_simulated(unit, icarus, tmp_path):
    """Every register of a unit is in the waves, and rows that say more toggle more."""
    config = rtl.unit(unit).preset("plus", lanes=2, max_length=24)
    design = runner.Design.of(config)
    waves = tmp_path / "waves.vcd"
    found = []
    for random in 0, 1:
        printed = simulate(design.verilog + DRIVER.format(
            top=design.top, file=waves, random=random, width=config.input_layout.size,
            out=config.output_layout.size,
            **{name: config.input_layout[name].offset for name in ("data", "keep", "last")}),
            tmp_path)
        assert printed.endswith("error=0\n")
        found.append(activity.measure(design, waves))
    check_activity(design, found, waves)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["softmax-e2"])
def test_simulated_as_the_report_does(unit, verilator, tmp_path):
    """Every register of a unit is in the waves, and rows that say more toggle more."""
    design = runner.Design.of(rtl.unit(unit).preset("plus", lanes=2, max_length=24))
    random = np.random.default_rng(1)
    simulation = runner.Simulation(design, "verilator", tmp_path, waves=True)
    found = []
    for values in np.zeros((20, 24), int), random.integers(-100, 100, (20, 24)):
        rows = Rows.of((f"{k}", row, None) for k, row in enumerate(values))
        result, = simulation.run(make_job(design, rows), ["rows_back_to_back"])
        assert not result.failure
        found.append(activity.measure(design, tmp_path / "dump.vcd"))
    check_activity(design, found, tmp_path / "dump.vcd")


def check_activity(design, found, waves):
    assert found[1].toggles > 3 * found[0].toggles
    assert found[1].loaded > found[1].toggles
    recorded = {(where[-1], name) for where, name in activity.recorded(waves)}
    registers = {(path[-1], name) for path, names in activity.loads(design).items()
                 for name in names}
    assert registers - recorded == set()
