"""The Vivado project: run by a Tcl interpreter with stubs that record calls, and linted."""

import shutil
import subprocess
import sys

import pytest

from boards.board import ZynqBoard
from boards.catalog import BOARDS, board
from boards.vivado import project

SOURCES = ["unit.v", "unit_dma.v", "unit_zynq.v"]
ZYNQ = [each for each in BOARDS.values() if isinstance(each, ZynqBoard)]

# Every command that is called writes its words to a file.
STUBS = """
set calls [open calls.txt w]
proc record {args} {global calls; puts $calls $args}
foreach command {create_project read_verilog read_xdc synth_design opt_design place_design
    phys_opt_design route_design report_utilization report_timing_summary report_drc
    write_checkpoint write_bitstream} {
  proc $command {args} "record $command {*}\\$args"
}
proc get_parts {args} {return {%(parts)s}}
proc get_cells {args} {return {%(cells)s}}
proc get_timing_paths {kind} {return $kind}
proc get_property {name path} {
  if {$path eq "-setup"} {return %(setup)s}
  return 0.05
}
source project.tcl
close $calls
"""


def run(board, folder, *, parts="part", cells="ps7", setup="0.5"):
    """Run the script with the stubs; exit status, error and the calls."""
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh is not installed")
    (folder / "project.tcl").write_text(project.script(board, SOURCES, "unit_zynq"))
    (folder / "main.tcl").write_text(STUBS % {"parts": parts, "cells": cells, "setup": setup})
    done = subprocess.run(["tclsh", "main.tcl"], cwd=folder, capture_output=True, text=True)
    calls = (folder / "calls.txt").read_text().splitlines()
    return done.returncode, done.stderr, calls


@pytest.mark.parametrize("board", ZYNQ, ids=lambda board: board.name)
def test_calls(board, tmp_path):
    """Every source in order, the constraints, each step once, and the bitstream last."""
    status, error, calls = run(board, tmp_path)
    assert (status, error) == (0, "")
    assert calls[0] == f"create_project -in_memory -part {board.part}"
    assert [call.split() for call in calls[1:5]] == [
        *(["read_verilog", str(tmp_path / name)] for name in SOURCES),
        ["read_xdc", str(tmp_path / "top.xdc")]]
    assert calls[5] == f"synth_design -top unit_zynq -part {board.part}"
    assert [call.split()[0] for call in calls[6:]] == [
        "opt_design", "place_design", "phys_opt_design", "route_design", "report_utilization",
        "report_timing_summary", "report_drc", "write_checkpoint", "write_bitstream"]
    assert calls[-1].split()[-1] == str(tmp_path / "top.bit")


@pytest.mark.parametrize("board", ZYNQ, ids=lambda board: board.name)
def test_part_that_vivado_does_not_have(board, tmp_path):
    status, error, calls = run(board, tmp_path, parts="")
    assert status != 0 and calls == []
    licence = "needs a licence" in error.splitlines()[0]
    assert error.startswith(f"Vivado has no part {board.part}. The free edition ")
    assert licence == (not board.free_vivado)


@pytest.mark.parametrize("options, message", [
    ({"cells": ""}, "Synthesis removed the processor, the cell ps7"),
    ({"setup": "-0.25"}, "A path is too slow by 0.25 ns: timing.rpt has it")])
def test_failures(options, message, tmp_path):
    """No bitstream is written."""
    status, error, calls = run(ZYNQ[0], tmp_path, **options)
    assert status != 0 and error.splitlines()[0] == message
    assert not [call for call in calls if call.startswith("write_bitstream")]


@pytest.mark.parametrize("name, leds", [
    ("arty-z7-20", [("R14", "LVCMOS33"), ("P14", "LVCMOS33")]),
    ("adrv9361-z7035", [("W14", "LVCMOS25"), ("W17", "LVCMOS25")]), ("xc7z035-ffg676", [])])
def test_constraints(name, leds, tmp_path):
    """They reach commands with the pin and the period of FCLK0, and with the pins of the LEDs."""
    (tmp_path / "top.xdc").write_text(project.constraints(board(name)))
    (tmp_path / "main.tcl").write_text(
        "proc get_pins {name} {return pin:$name}\nproc get_ports {name} {return port:$name}\n"
        "foreach command {create_clock set_property set_false_path} {\n"
        '  proc $command {args} "puts \\"$command \\[join \\$args]\\""\n}\nsource top.xdc\n')
    done = subprocess.run(["tclsh", "main.tcl"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"create_clock -name fclk0 -period 10.000 pin:{project.CLOCK_PIN}",
        *(line for n, (pin, standard) in enumerate(leds) for line in (
            f"set_property PACKAGE_PIN {pin} port:leds[{n}]",
            f"set_property IOSTANDARD {standard} port:leds[{n}]",
            f"set_false_path -to port:leds[{n}]"))], done.stderr


@pytest.mark.parametrize("board", ZYNQ, ids=lambda board: board.name)
def test_linter(board, tmp_path):
    pytest.importorskip("tclint", reason="tclint is not installed")
    (tmp_path / "project.tcl").write_text(project.script(board, SOURCES, "unit_zynq"))
    (tmp_path / "top.tcl").write_text(project.constraints(board))
    done = subprocess.run([sys.executable, "-m", "tclint", "project.tcl", "top.tcl"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
