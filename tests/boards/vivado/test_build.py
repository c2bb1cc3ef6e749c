"""Projects for boards with a Zynq: their files, their commands, and what Yosys makes of the top."""

import hashlib
import json
import subprocess
import sys

import pytest

from boards import zynq7
from boards.build import main
from boards.catalog import board
from boards.vivado import build
from rtl.emit import yosys
from sim.testing.small import small

CONFIG = small("softmax-e2", "plus")
UNIT = ("softmax-e2", "--lanes", "2", "--max-length", "10")


@pytest.fixture(scope="module")
def plan():
    return build.plan(board("arty-z7-20"), CONFIG)


def test_files(plan):
    """The scripts read what is there; openXC7 only where it has the device."""
    assert {"project.tcl", "top.xdc", "openxc7.sh", "openxc7.ys", "manifest.json",
            *zynq7.sources(CONFIG)} <= set(plan)
    for name in zynq7.sources(CONFIG):
        assert f"\n  {name}\n" in plan["project.tcl"]
        assert f"read_verilog {name}\n" in plan["openxc7.ys"]
    assert f"set top {zynq7.top(CONFIG)}\n" in plan["project.tcl"]
    # What the manifest lists is what is written.
    listed = json.loads(plan["manifest.json"])["files"]
    assert {name: hashlib.sha256(plan[name].encode()).hexdigest() for name in listed} == {
        name: each["sha256"] for name, each in listed.items()}


def test_leds(plan):
    """The first one counts the clock, the second shows the error; without LEDs there is no port."""
    text = plan[f"{zynq7.top(CONFIG)}.v"]
    assert "  output [1:0] leds;" in text and text.count("// Configuration") == 1
    assert "  assign leds = { error, cycles[25] };" in text and ".error(error)" in text
    assert "cycles <= cycles_add" in text and "on a Zynq-7000, with two LEDs: clock, error" in text
    assert "get_ports {leds[1]}" in plan["top.xdc"]
    assert "leds" not in zynq7.zynq_files(CONFIG)[f"{zynq7.top(CONFIG)}.v"]


def test_linter(plan, tmp_path):
    """All Tcl of the plan."""
    pytest.importorskip("tclint", reason="tclint is not installed")
    names = [name for name in plan if name.endswith(".tcl")]
    assert {"project.tcl", f"{CONFIG.name}_ip.tcl"} <= set(names)
    for name in names:
        (tmp_path / name).write_text(plan[name])
    done = subprocess.run([sys.executable, "-m", "tclint", *names], cwd=tmp_path,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.slow
def test_large_devices_have_no_open_route(tmp_path, capsys):
    """The command writes the plan; without Vivado it says how to get it, and writes nothing."""
    out = tmp_path / "build"
    assert main(["adrv9361-z7035", *UNIT, "--out", str(out)]) == 1
    assert "Program vivado is missing: install AMD Vivado" in capsys.readouterr().err
    assert not out.exists()
    assert main(["adrv9361-z7035", *UNIT, "--plan-only", "--out", str(out)]) == 0
    folder = out / "adrv9361-z7035" / CONFIG.name
    names = {path.name for path in folder.iterdir()}
    assert "project.tcl" in names and not {"openxc7.sh", "openxc7.ys"} & names
    assert "set part xc7z035ifbg676-2L\n" in (folder / "project.tcl").read_text()
    assert capsys.readouterr().out == f"{len(names)} files written to {folder}\n"


@pytest.mark.slow
def test_vivado(tmp_path, monkeypatch, capsys):
    """It runs on the whole plan, in its folder; its failure is told with its last error."""
    program = tmp_path / "vivado"
    program.write_text("#!/bin/sh\nls > seen\necho \"$@\" > words\n")
    program.chmod(0o755)
    monkeypatch.setenv("VIVADO", str(program))
    words = ["arty-z7-20", *UNIT, "--out", str(tmp_path)]
    assert main(words) == 0
    folder = tmp_path / "arty-z7-20" / CONFIG.name
    assert (folder / "words").read_text() == (
        "-mode batch -nojournal -log vivado.log -source project.tcl\n")
    assert {"project.tcl", "top.xdc", *zynq7.sources(CONFIG)} <= {
        *(folder / "seen").read_text().splitlines()}
    program.write_text("#!/bin/sh\necho 'ERROR: [Common 17-69] no licence'\nexit 1\n")
    capsys.readouterr()
    assert main(words) == 1
    assert capsys.readouterr().err == ("error: Program vivado failed with status 1: ERROR: "
                                       "[Common 17-69] no licence\n")


@pytest.mark.parametrize("words, message", [
    (("arty-z7-20", *UNIT, "--baud", "9600"), "Option --baud must not be used with arty-z7-20"),
    (("ulx3s", *UNIT, "--user", "memory"), "Option --user must not be used with ulx3s"),
    (("ulx3s", *UNIT, "--synth"), "Option --synth must not be used with ulx3s")])
def test_options_of_other_boards(words, message, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_yosys_reads_the_sources(plan):
    """The script for openXC7, up to the hierarchy: every module and every port is there."""
    script = plan["openxc7.ys"].replace("-nodsp", "-nodsp -run begin:prepare")
    script = script.removesuffix("write_json top.json\n")
    script += f"select -assert-count 1 {zynq7.top(CONFIG)}/ps7\n"
    files = {name: plan[name] for name in zynq7.sources(CONFIG)}
    yosys.run(["script openxc7.ys"], {**files, "openxc7.ys": script})


@pytest.mark.slow
def test_figures(plan):
    """Area without the processor, and paths between registers behind its clock."""
    found = build.figures(plan, CONFIG)
    assert found.lut > 1000 and found.ff > 1000 and found.dsp == 0
    assert 2000 < found.delay_ps < 5000 and "FDRE" in found.path
