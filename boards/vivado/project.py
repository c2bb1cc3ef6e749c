"""A Vivado project of a Zynq-7000 top: constraints, and a script that makes the bitstream."""

from __future__ import annotations

from collections.abc import Sequence

from ..board import ZynqBoard

__all__ = ["CLOCK_PIN", "constraints", "script"]

#: Pin that the clock of a top comes from.
CLOCK_PIN = "ps7/FCLKCLK[0]"


def constraints(board: ZynqBoard) -> str:
    """Text of the .xdc file: the clock, and the LEDs, which are the only pins of the logic."""
    lines = ["# FCLK0 of the processor, as the boot loader has to set it.",
             f"create_clock -name fclk0 -period {1e9 / board.fclk:.3f} [get_pins {{{CLOCK_PIN}}}]"]
    if board.leds:
        lines.append("# Clock, and error of the unit.")
    platform = board.platform()
    for n, led in enumerate(board.leds):
        resource = platform.lookup(*led)
        pins = resource.ios[0]
        if pins.invert:
            raise ValueError(f"LED {led} of {board.name} must be lit by a high level")
        port = f"[get_ports {{leds[{n}]}}]"
        lines += [f"set_property PACKAGE_PIN {pins.names[0]} {port}",
                  f"set_property IOSTANDARD {resource.attrs['IOSTANDARD']} {port}",
                  f"set_false_path -to {port}"]
    return "\n".join([*lines, ""])


def script(board: ZynqBoard, sources: Sequence[str], top: str) -> str:
    """Text of the Tcl script, which writes ``top.bit`` and reports beside itself.

    It fails with a message if Vivado does not have the part, if a path is too slow, or if Vivado
    removed the processor.

    Parameters
    ----------
    board : ZynqBoard
        The board.
    sources : sequence of str
        Verilog files beside the script, in the order in which tools read them.
    top : str
        Top module.
    """
    listed = "".join(f"  {name}\n" for name in sources)
    edition = ("The free edition has it" if board.free_vivado else
               "The free edition does not list it: it needs a licence")
    return f"""\
# Builds {top} for: {board.title}
#
#   vivado -mode batch -source project.tcl
#
# The calls are checked by a Tcl interpreter with stubs; Vivado itself has not run them.

set part {board.part}
set top {top}
set folder [file dirname [file normalize [info script]]]

if {{[llength [get_parts -quiet $part]] == 0}} {{
  error "Vivado has no part $part.\\
    {edition}; install its devices"
}}
create_project -in_memory -part $part
foreach file {{
{listed}}} {{
  read_verilog [file join $folder $file]
}}
read_xdc [file join $folder top.xdc]

synth_design -top $top -part $part
if {{[llength [get_cells -quiet ps7]] == 0}} {{
  error "Synthesis removed the processor, the cell ps7"
}}
opt_design
place_design
phys_opt_design
route_design

report_utilization -file [file join $folder utilization.rpt]
report_timing_summary -file [file join $folder timing.rpt]
report_drc -file [file join $folder drc.rpt]
write_checkpoint -force [file join $folder top.dcp]

foreach path [list [get_timing_paths -setup] [get_timing_paths -hold]] {{
  set slack [get_property SLACK $path]
  if {{$slack < 0}} {{
    error "A path is too slow by [expr {{-$slack}}] ns: timing.rpt has it"
  }}
}}
write_bitstream -force [file join $folder top.bit]
puts "Wrote [file join $folder top.bit]"
"""
