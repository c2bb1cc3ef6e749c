"""Emitted Verilog: the same on every run, plain, and read alike by Icarus, Verilator and Yosys."""

import gc
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from amaranth import Module, Signal
from amaranth.back import rtlil
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from rtl.blocks.lookup import lookup
from rtl.emit import manifest, verilog, yosys
from rtl.stream.register_slice import RegisterSlice
from sim.testing.passthrough import PassthroughConfig, iverilog, simulate, verilator

CONFIG = PassthroughConfig(bits=12, lanes=3)


@pytest.fixture(scope="module")
def text():
    return verilog.of_unit(CONFIG)


def component(members, elaborate):
    """A component from its members and a function that fills its module."""
    class Dut(wiring.Component):
        def elaborate(self, platform):
            m = Module()
            elaborate(m, self)
            return m
    return Dut(members)


def netlist(text, top):
    """What Yosys reads back, as the dictionary of its JSON."""
    files = yosys.run(["read_verilog design.v", f"hierarchy -check -top {top}", "proc",
                       "write_json out.json"], {"design.v": text})
    return json.loads(files["out.json"])["modules"]


# The same on every run --------------------------------------------------------------------------

def test_reproducible(text):
    root = pathlib.Path(__file__).parents[3]
    script = ("from sim.testing.passthrough import *; from rtl.emit import manifest, verilog; "
              "config = PassthroughConfig(bits=12, lanes=3); text = verilog.of_unit(config); "
              "print(text + manifest.manifest(config, {'a.v': text}), end='')")
    expected = text + manifest.manifest(CONFIG, {"a.v": text})
    for seed in ("0", "1"):
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                             env={**os.environ, "PYTHONHASHSEED": seed,
                                  "PYTHONPATH": str(root)})
        assert run.stdout == expected, run.stderr


def test_no_paths_and_no_dates(text):
    assert str(pathlib.Path.home()) not in text
    assert not re.search(r"\.py|\.il|/tmp|\b20\d\d\b", text.partition("`timescale")[2])
    assert not re.search(r"\.py|\.il|/tmp|\b20\d\d-|:\d\d:", text)


def test_silent(capfd):
    verilog.of_components({"quiet": component({"a": In(1), "y": Out(1)},
                                     lambda m, self: m.d.comb.__iadd__(self.y.eq(~self.a)))})
    assert capfd.readouterr() == ("", "")


# Plain ------------------------------------------------------------------------------------------

def test_modules_are_named_after_the_unit(text):
    name = CONFIG.name
    assert re.findall(r"^module (\w+)", text, re.MULTILINE) == [
        name, f"{name}_axis", f"{name}_axis_output_slice", f"{name}_stage"]


def test_ports_in_the_order_of_the_signature(text):
    assert f"module {CONFIG.name}(clk, rst, i__payload, i__valid, i__ready, o__payload, " \
           "o__valid, o__ready, error);" in text
    assert f"module {CONFIG.name}_axis(aclk, aresetn, s_axis_tdata, s_axis_tkeep, " \
           "s_axis_tuser, s_axis_tlast, s_axis_tvalid, s_axis_tready, m_axis_tdata, " \
           "m_axis_tkeep, m_axis_tlast, m_axis_tvalid, m_axis_tready, error);" in text


def test_attributes_on_top_ports_only(text):
    lines = text.splitlines()
    seen = []
    for n, line in enumerate(lines):
        if "(*" in line:
            assert re.match(r"  \(\* X_INTERFACE_(INFO|PARAMETER) = ", line)
            while "(*" in lines[n]:
                n += 1
            seen.append(re.fullmatch(r"  (?:input|output) (?:\[.*\] )?(\w+);", lines[n])[1])
    assert list(dict.fromkeys(seen)) == [
        "aclk", "aresetn", "s_axis_tdata", "s_axis_tkeep", "s_axis_tuser", "s_axis_tlast",
        "s_axis_tvalid", "s_axis_tready", "m_axis_tdata", "m_axis_tkeep", "m_axis_tlast",
        "m_axis_tvalid", "m_axis_tready"]


def test_no_processes_but_registers(text):
    code = re.sub(r"(?m)//.*$", "", text)
    assert not re.search(r"always @\*|always_|casez?\b|\bfunction\b|\bx\b|'[bh]x", code)


def test_no_escaped_names(text):
    assert "\\" not in text


def test_names_that_verilog_does_not_take():
    shape = data.StructLayout({"field": data.ArrayLayout(4, 2)})

    def elaborate(m, self):
        view, keyword, taken = Signal(shape), Signal(name="end"), Signal(name="end_")
        m.d.sync += [view.field[0].eq(self.a), view.field[1].eq(view.field[0]),
                     keyword.eq(view.field[1][0]), taken.eq(keyword), self.y.eq(taken)]
    text = verilog.of_components({"names": component({"a": In(4), "y": Out(1)}, elaborate)})
    assert "\\" not in text
    assert re.search(r"\breg end__;", text) and re.search(r"\breg end_;", text)


def test_different_units_share_a_project(text, tmp_path):
    iverilog(text + verilog.of_unit(PassthroughConfig(bits=12, lanes=4)), tmp_path)


# Read back --------------------------------------------------------------------------------------

def test_icarus(text, tmp_path):
    iverilog(text, tmp_path)


@pytest.mark.parametrize("suffix", ["", "_axis"])
def test_verilator(text, suffix, tmp_path):
    verilator(text, CONFIG.name + suffix, tmp_path)


def test_yosys_reads_the_widths_of_the_config(text):
    modules = netlist(text, f"{CONFIG.name}_axis")
    core, shell = modules[CONFIG.name], modules[f"{CONFIG.name}_axis"]
    assert len(core["ports"]["i__payload"]["bits"]) == CONFIG.input_layout.size == 43
    assert len(core["ports"]["o__payload"]["bits"]) == CONFIG.output_layout.size == 40
    assert len(shell["ports"]["s_axis_tdata"]["bits"]) == 48
    assert shell["ports"]["s_axis_tready"]["direction"] == "output"


def test_outputs_are_known_from_the_start(tmp_path):
    """Logic whose inputs never change: a combinational process would never run."""
    def elaborate(m, self):
        with m.If(self.a | ~Signal(name="never")):
            m.d.comb += self.y.eq(1)
    text = verilog.of_components({"dut": component({"a": In(1), "y": Out(1)}, elaborate)})
    bench = """
        module bench;
          wire y;
          dut dut(.a(1'b0), .y(y));
          initial #1 $display("y=%b", y);
        endmodule
    """
    assert simulate(text + bench, tmp_path) == "y=1\n"


def equivalence(original, text, top):
    """Report of a proof by induction that a Verilog text does what an RTLIL text does."""
    def prepared(read, name):
        return [read, f"hierarchy -top {top}", "proc", "flatten", "memory_map", "opt_clean",
                f"rename {top} {name}", f"design -stash {name}"]
    files = yosys.run([
        *prepared("read_rtlil original.il", "gold"), *prepared("read_verilog design.v", "gate"),
        "design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate",
        "equiv_make gold gate both", "hierarchy -top both", "equiv_simple -undef", "equiv_induct",
        "tee -o report.txt equiv_status"], {"original.il": original, "design.v": text})
    return files["report.txt"]


def with_equal_bits():
    """Table of whose words some bits are equal, so that Yosys makes one of them."""
    def elaborate(m, self):
        m.d.comb += self.y.eq(lookup(m, self.a, [0b1101, 0, 0b101101, 0b10, 0b1111]))
    return component({"a": In(3), "y": Out(6)}, elaborate)


def test_a_bit_of_a_vector_follows_another(tmp_path):
    """Verilator calls an assignment of some bits of a vector to others a loop."""
    text = verilog.of_components({"dut": with_equal_bits()})
    assert re.search(r"assign (\w+)\[\d\] = \1\[\d\];", text)
    verilator(text, "dut", tmp_path)


@pytest.mark.parametrize("create", [
    CONFIG.create, lambda: RegisterSlice(8), lambda: with_memory(None), with_equal_bits])
def test_same_logic_as_the_component(create):
    text = verilog.of_components({"dut": create()})
    original = rtlil.convert(create(), name="dut", emit_src=False)
    assert "Equivalence successfully proven!" in equivalence(original, text, "dut")


def test_other_logic_is_told_apart():
    def inverter(width):
        return component({"a": In(4), "y": Out(4)},
                         lambda m, self: m.d.comb.__iadd__(self.y.eq(~self.a[:width])))
    text = verilog.of_components({"dut": inverter(3)})
    original = rtlil.convert(inverter(4), name="dut", emit_src=False)
    assert "unproven $equiv cells" in equivalence(original, text, "dut")


# Memories ---------------------------------------------------------------------------------------

WORDS = [5] * 12 + [1, 2, 3, 3] + [0] * 16


def with_memory(style, *, depth=32, init=WORDS, domain="comb"):
    """A memory with one write port and one read port, behind registers."""
    def elaborate(m, self):
        attrs = {"ram_style": style} if style else {}
        m.submodules.rows = rows = memory.Memory(shape=8, depth=depth, init=init, attrs=attrs)
        write, read = rows.write_port(), rows.read_port(domain=domain)
        m.d.comb += [write.addr.eq(self.addr), write.data.eq(self.data), write.en.eq(self.en),
                     read.addr.eq(self.at)]
        m.d.sync += self.q.eq(read.data)
    return component({"addr": In(range(depth)), "at": In(range(depth)), "data": In(8),
                      "en": In(1), "q": Out(8)}, elaborate)


def test_memory_words_are_kept(tmp_path):
    text = verilog.of_components({"dut": with_memory(None)})
    bench = """
        module bench;
          reg clk = 0; reg [4:0] at = 0; wire [7:0] q; integer n;
          dut dut(.clk(clk), .rst(1'b0), .addr(5'd0), .at(at), .data(8'd0), .en(1'b0), .q(q));
          initial for (n = 0; n < 32; n = n + 1) begin
            at = n; #1 clk = 1; #1 clk = 0; $display("%0d", q);
          end
        endmodule
    """
    assert [int(line) for line in simulate(text + bench, tmp_path).split()] == WORDS


def test_memory_runs_of_words_are_loops():
    text = verilog.of_components({"dut": with_memory(None)})
    assert "for (k = 0; k <= 11; k = k + 1) rows[k] = 8'h05;" in text
    assert "    rows[14] = 8'h03;\n    rows[15] = 8'h03;\n" in text
    assert "for (k = 16; k <= 31; k = k + 1) rows[k] = 8'h00;" in text


def test_memory_is_read_back_by_all(tmp_path):
    text = verilog.of_components({"dut": with_memory("distributed")})
    assert text.count('(* ram_style = "distributed" *)') == 1
    iverilog(text, tmp_path)
    verilator(text, "dut", tmp_path)


INFERRED = [("distributed", 64, "comb", "RAM64M"), ("distributed", 32, "comb", "RAM32M"),
            ("block", 64, "sync", "RAMB18E1"), (None, 1024, "sync", "RAMB18E1")]


@pytest.fixture(scope="module")
def inferred():
    """Cells of each memory of ``INFERRED``, from one run of Yosys."""
    texts = [verilog.of_components({f"dut{n}": with_memory(style, depth=depth, init=[],
                                                           domain=domain)})
             for n, (style, depth, domain, _) in enumerate(INFERRED)]
    ports = {"clk": 1, "rst": 1, "addr": 10, "at": 10, "data": 8, "en": 1}
    inputs = ", ".join(f"input [{width - 1}:0] {name}" for name, width in ports.items())
    pins = ", ".join(f".{name}({name})" for name in ports)
    outputs = "".join(f", output [7:0] q{n}" for n in range(len(INFERRED)))
    duts = "".join(f"  dut{n} u{n}({pins}, .q(q{n}));\n" for n in range(len(INFERRED)))
    texts.append(f"module top({inputs}{outputs});\n{duts}endmodule\n")
    files = yosys.run(["read_verilog design.v",
                       "synth_xilinx -family xc7 -top top -run :map_ffs",
                       "tee -o stat.json stat -json"], {"design.v": "\n".join(texts)})
    modules = json.loads(files["stat.json"])["modules"]
    return [modules[f"\\dut{n}"]["num_cells_by_type"] for n in range(len(INFERRED))]


@pytest.mark.parametrize("number", range(len(INFERRED)), ids=map(str, INFERRED))
def test_memory_is_inferred(number, inferred):
    assert INFERRED[number][-1] in inferred[number]


# Errors -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("command, message", [
    ("read_verilog missing.v", "missing.v' not found"),
    ("no_such_command", "No such command: no_such_command"),
    ("hierarchy -check -top nothing", "nothing' not found")])
def test_yosys_error(command, message, capfd):
    with pytest.raises(yosys.YosysError, match=message):
        yosys.run([command], {})
    assert capfd.readouterr() == ("", "")


def test_yosys_syntax_error():
    with pytest.raises(yosys.YosysError, match="syntax error"):
        yosys.run(["read_verilog design.v"], {"design.v": "module m(; endmodule"})


def test_yosys_broken(monkeypatch, tmp_path):
    """The last line of what the child prints, where it is no error of Yosys."""
    (tmp_path / "pyosys.py").write_text("")
    monkeypatch.setattr(yosys, "_package", lambda: tmp_path / "pyosys")
    with pytest.raises(yosys.YosysError, match="cannot import name 'libyosys'"):
        yosys.run([], {})


def test_garbage_is_collected_again():
    def fail(m, self):
        raise RuntimeError
    with pytest.raises(RuntimeError):
        verilog.of_components({"dut": component({"y": Out(1)}, fail)})
    assert gc.isenabled()
