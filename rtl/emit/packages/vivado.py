"""Tcl that makes Vivado package an emitted unit as an IP."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ... import __version__
from ...bus import AxiStream, ControlledUnit, DmaUnit
from ...config import UnitConfig

__all__ = ["FAMILIES", "PART", "packager"]


#: Part of the project that the unit is packaged in; the IP is not bound to it.
PART = "xc7z020clg400-1"

#: Families that the IP is offered for: what it is written in has nothing of a device.
FAMILIES = ("zynq", "artix7", "kintex7", "virtex7", "spartan7", "zynquplus", "kintexu",
            "kintexuplus", "virtexu", "virtexuplus", "versal")


def packager(config: UnitConfig, shell: AxiStream | ControlledUnit | DmaUnit,
             files: Sequence[str], top: str) -> str:
    """Return the text of the script.

    It packages copies of the files in a folder ``ip`` beside itself, and fails unless Vivado found
    every bus interface, the clock and the reset.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    shell : AxiStream, ControlledUnit or DmaUnit
        Top module.
    files : sequence of str
        Verilog files beside the script, in the order in which tools read them.
    top : str
        Name of the top module.
    """
    control = not isinstance(shell, AxiStream)
    buses = shell.interfaces
    signals = ["aclk", "aresetn", *(["irq"] if control else [])]
    registers = _registers(shell) if control else ""
    major, minor, _ = __version__.split(".")[:3]
    return f"""\
# Packages a unit as an IP of Vivado, into the folder ip beside this script:
#
#   vivado -mode batch -source THIS_FILE ?-tclargs PART?
#
# Add that folder to a project's ip_repo_paths then. The calls are checked by a Tcl interpreter with
# stubs; Vivado itself has not run them.

set name {config.name}
set top {top}
set folder [file dirname [file normalize [info script]]]
set part {PART}
if {{[info exists argv] && [llength $argv] > 0}} {{
  set part [lindex $argv 0]
}}

create_project -force $name [file join $folder ip_project] -part $part
foreach file {_words(files)} {{
  add_files -norecurse [file join $folder $file]
}}
set_property top $top [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir [file join $folder ip] -vendor transformer-rtl -library user \\
  -taxonomy /UserIP -import_files -set_current true
set core [ipx::current_core]
set_property name $name $core
set_property version {major}.{minor} $core
set_property display_name $name $core
set_property description {{{config.UNIT}, configuration {config.hash}}} $core
set families [list]
foreach family {_words(FAMILIES)} {{
  lappend families $family Production
}}
set_property supported_families $families $core

foreach bus {_words([*buses, *signals])} {{
  if {{[llength [ipx::get_bus_interfaces $bus -of_objects $core]] == 0}} {{
    error "Vivado found no interface $bus in $top"
  }}
}}
foreach bus {_words(buses)} {{
  ipx::associate_bus_interfaces -busif $bus -clock aclk $core
}}
{registers}
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project -delete
puts "Packaged $name in [file join $folder ip]"
"""


def _registers(shell: ControlledUnit | DmaUnit) -> str:
    """Memory map of the register bus: without one, the address editor has no range for it."""
    return f"""
# Vivado may have made the map with the interface.
if {{[llength [ipx::get_memory_maps s_axi -of_objects $core]] == 0}} {{
  ipx::add_memory_map s_axi $core
}}
set map [ipx::get_memory_maps s_axi -of_objects $core]
set_property slave_memory_map_ref s_axi [ipx::get_bus_interfaces s_axi -of_objects $core]
if {{[llength [ipx::get_address_blocks * -of_objects $map]] == 0}} {{
  ipx::add_address_block registers $map
}}
set block [lindex [ipx::get_address_blocks * -of_objects $map] 0]
set_property range {1 << shell.registers.address_bits} $block
set_property usage register $block
"""


def _words(words: Iterable[str]) -> str:
    """A list, a word a line if there are many of them."""
    words = list(words)
    if sum(map(len, words)) + len(words) < 80:
        return f"{{{' '.join(words)}}}"
    return "".join(["{\n", *(f"  {word}\n" for word in words), "}"])
