"""The packaging script, run by a Tcl interpreter with stubs of Vivado that record calls."""

import shutil
import subprocess
import sys

import pytest

from rtl.bus import AxiStream
from rtl.emit import files, verilog
from rtl.emit.packages import vivado
from sim.testing.passthrough import PassthroughConfig
from sim.testing.small import small

UNITS = [(PassthroughConfig(), "none"), (small("attention", "conservative", sort="host"), "none"),
         (small("attention", "conservative", sort="host"), "axi-lite")]

# Every command that is called writes its words to a file; what asks for an object gets its name.
STUBS = """
namespace eval ipx {}
set calls [open calls.txt w]
set missing {%(missing)s}
proc record {args} {global calls; puts $calls $args}
foreach command {create_project add_files set_property update_compile_order close_project
    ipx::package_project ipx::associate_bus_interfaces
    ipx::create_xgui_files ipx::update_checksums ipx::check_integrity ipx::save_core} {
  proc $command {args} "record $command {*}\\$args; return object"
}
proc current_fileset {} {return fileset}
proc ipx::current_core {} {return core}
proc ipx::get_bus_interfaces {name args} {
  global missing
  record ipx::get_bus_interfaces $name {*}$args
  if {$name in $missing} {return {}}
  return bus_$name
}
# Maps and blocks are those that were there, and those that were added.
set maps {%(maps)s}
set blocks {%(blocks)s}
proc ipx::get_memory_maps {args} {global maps; return $maps}
proc ipx::get_address_blocks {args} {global blocks; return $blocks}
proc ipx::add_memory_map {args} {record ipx::add_memory_map {*}$args; set ::maps map}
proc ipx::add_address_block {args} {record ipx::add_address_block {*}$args; set ::blocks block}
set argv {%(argv)s}
source unit_ip.tcl
close $calls
"""


def run(script, folder, *, missing="", argv="", maps="", blocks=""):
    """Run a script with the stubs; exit status, error and the calls."""
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh is not installed")
    (folder / "unit_ip.tcl").write_text(script)
    (folder / "main.tcl").write_text(STUBS % {
        "missing": missing, "argv": argv, "maps": maps, "blocks": blocks})
    done = subprocess.run(["tclsh", "main.tcl"], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stderr, (folder / "calls.txt").read_text().splitlines()


def script(config, control):
    core = config.create()
    shell = verilog.control_of(config) if control != "none" else AxiStream(core)
    return vivado.packager(config, shell, files.sources(config, control),
                           files.top(config, control))


@pytest.mark.parametrize("config, control", UNITS, ids=["row", "sets", "registers"])
def test_calls(config, control, tmp_path):
    """It adds the files, packages the top module, and asks for every interface of its ports."""
    status, error, calls = run(script(config, control), tmp_path)
    assert (status, error) == (0, "")
    added = [call.split()[-1] for call in calls if call.startswith("add_files")]
    assert added == [str(tmp_path / name) for name in files.sources(config, control)]
    assert f"set_property top {files.top(config, control)} fileset" in calls
    names = [call.split()[0] for call in calls]
    order = ["create_project", "add_files", "ipx::package_project", "ipx::get_bus_interfaces",
             "ipx::associate_bus_interfaces", "ipx::create_xgui_files", "ipx::save_core",
             "close_project"]
    assert sorted(order, key=names.index) == order
    buses = ["s_axis" if name == "i" else "m_axis" if name == "o" else f"s_axis_{name}"
             for name in config.streams]
    registers = control != "none"
    asked = {call.split()[1] for call in calls if call.startswith("ipx::get_bus_interfaces")}
    assert asked == {*buses, "aclk", "aresetn"} | ({"s_axi", "irq"} if registers else set())
    clocked = {call.split()[2] for call in calls
               if call.startswith("ipx::associate_bus_interfaces")}
    assert clocked == {*buses} | ({"s_axi"} if registers else set())
    assert ("set_property range 4096 block" in calls) == registers
    assert ("set_property slave_memory_map_ref s_axi bus_s_axi" in calls) == registers
    package = next(call for call in calls if call.startswith("ipx::package_project"))
    assert f"-root_dir {tmp_path}/ip " in package and "-import_files" in package


def test_memory_map_that_is_there(tmp_path):
    """It is taken, and its first block; a second one would be at the same addresses."""
    status, error, calls = run(script(*UNITS[2]), tmp_path, maps="s_axi", blocks="reg0 other")
    assert (status, error) == (0, "")
    assert not [call for call in calls if call.startswith("ipx::add")]
    assert "set_property range 4096 reg0" in calls


def test_it_is_among_the_files():
    config = PassthroughConfig()
    assert files.unit_files(config)[f"{config.name}_ip.tcl"] == script(config, "none")


def test_part(tmp_path):
    text = script(PassthroughConfig(), "none")
    for argv, part in ("", "xc7z020clg400-1"), ("xc7z035ffg676-2", "xc7z035ffg676-2"):
        calls = run(text, tmp_path, argv=argv)[2]
        assert calls[0].endswith(f"-part {part}")


def test_interface_that_vivado_does_not_find(tmp_path):
    config = PassthroughConfig()
    status, error, calls = run(script(config, "none"), tmp_path, missing="m_axis")
    assert status != 0
    assert error.splitlines()[0] == f"Vivado found no interface m_axis in {config.name}_axis"
    assert not [call for call in calls if call.startswith("ipx::save_core")]


@pytest.mark.parametrize("config, control", UNITS[1:], ids=["sets", "registers"])
def test_linter(config, control, tmp_path):
    pytest.importorskip("tclint", reason="tclint is not installed")
    (tmp_path / "unit_ip.tcl").write_text(script(config, control))
    done = subprocess.run([sys.executable, "-m", "tclint", "unit_ip.tcl"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
