"""The emitted Zynq-7000 top: whole by Yosys' own cell library, and written by a command."""

import json
import re

import pytest

import rtl
from boards.zynq7 import sources, top
from boards.zynq7.__main__ import main
from boards.zynq7.ps7 import LIBRARY, ps7_ports
from boards.zynq7.top import BASE
from rtl.emit import yosys

CONFIG = rtl.unit("softmax-e2")(lanes=3, max_length=40)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Texts of what the command writes, by name."""
    out = tmp_path_factory.mktemp("zynq7")
    assert main(["softmax-e2", "--lanes", "3", "--max-length", "40", "--user", "memory",
                 "--out", str(out)]) == 0
    return {path.name: path.read_text() for path in (out / CONFIG.name).iterdir()}


def check(texts, top):
    """Yosys' check of the hierarchy, with the cells' declarations: unknown ports are errors."""
    files = {f"{n}.v": text for n, text in enumerate(texts)}
    yosys.run([f"read_verilog -lib {LIBRARY}", "read_verilog -lib +/xilinx/cells_sim.v",
               *(f"read_verilog {name}" for name in files), f"hierarchy -check -top {top}",
               "proc", "tee -o widths.txt check -assert"], files)


@pytest.mark.slow
def test_hierarchy(found):
    texts = [found[name] for name in sources(CONFIG)]
    check(texts, top(CONFIG))
    # A port that the cell does not have.
    with pytest.raises(yosys.YosysError, match="PS7.*does not have a port named"):
        check([*texts[:2], texts[2].replace(".SAXIHP0ARADDR(", ".SAXIHP0AADDR(")], top(CONFIG))


def test_ports_of_the_cell():
    ports = ps7_ports()
    assert len(ports) == 620
    assert [ports[name] for name in ("MAXIGP0ARADDR", "SAXIHP0WDATA", "IRQF2P", "FCLKCLK", "MIO")] \
        == [("output", 32), ("input", 64), ("input", 20), ("output", 4), ("inout", 54)]


def test_widths_are_those_of_the_cell(found):
    """Each connected port by what the top connects; constants have their width written."""
    text = found[f"{top(CONFIG)}.v"]
    nets = {name: int(high or 0) + 1 for high, name in re.findall(
        r"(?m)^  (?:wire|reg) (?:\[(\d+):0\] )?(\w+);", text.partition("endmodule")[0])}
    cell = re.search(r"(?s)PS7 ps7 \((.*?)\n  \);", text)[1]
    ports, seen = ps7_ports(), set()
    for name, value in re.findall(r"\.(\w+)\((.*?)\),?\n", cell + "\n"):
        parts = value.strip("{ }").split(", ")
        width = sum(int(re.match(r"(\d+)'", part)[1]) if "'" in part else
                    1 + int((re.search(r"\[(\d+):", part) or [0, 0])[1])
                    - int((re.search(r":(\d+)\]", part) or [0, 0])[1]) if "[" in part
                    else nets[part] for part in parts)
        assert width == ports[name][1], (name, value)
        seen.add(name)
    assert {name for name, (direction, _) in ports.items() if direction == "input"} <= seen
    assert '(* DONT_TOUCH = "true" *)\n  PS7 ps7 (' in text and "BUFG fclk_buffer (" in text


def test_command(found, tmp_path, capsys):
    values = json.loads(found["manifest.json"])
    assert values["zynq7"] == {"top": f"{CONFIG.name}_zynq", "registers": BASE, "sources": [
        f"{CONFIG.name}.v", f"{CONFIG.name}_dma.v", f"{CONFIG.name}_zynq.v"]}
    assert "transformer_rtl.h" in values["files"]
    assert main([]) == 2
    assert capsys.readouterr().err == \
        "error: Argument UNIT must name a unit: python -m rtl.generate --list\n"
    assert main(["svd-softmax", "--dim", "0", "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()
