"""Area and delay: what each cell counts as, and what the delay sees."""

import dataclasses
import json
import re

import pytest

from rtl.emit import synthesis, yosys
from rtl.emit.synthesis import SynthesisError, measure


@pytest.fixture
def measured(monkeypatch):
    """Figures of a netlist of given cells, and of a given report of its delay."""
    def measured(cells, report=""):
        files = {"stat.json": json.dumps({"design": {"num_cells_by_type": cells}}),
                 "sta.txt": report}
        monkeypatch.setattr(yosys, "run", lambda commands, texts: files)
        return measure("", "top")
    return measured


@pytest.fixture
def area(measured):
    """Area figures of a netlist, less those that are 0."""
    def area(**cells):
        figures = dataclasses.asdict(measured(cells))
        return {name: figure for name, figure in figures.items() if figure}
    return area


# Counting ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("cell, luts", [
    ("LUT1", 1), ("LUT6", 1), ("INV", 1), ("SRL16E", 1), ("SRLC32E", 1),
    ("RAM32M", 4), ("RAM64M", 4), ("RAM32X1D", 2), ("RAM64X1D", 2), ("RAM128X1D", 4),
    ("RAM32X1S", 1), ("RAM64X1S", 1), ("RAM128X1S", 2), ("RAM256X1S", 4)])
def test_luts(area, cell, luts):
    assert area(**{cell: 3}) == {"lut": 3 * luts}


def test_all_kinds(area):
    assert area(LUT2=5, FDRE=4, FDSE=1, CARRY4=2, MUXF7=3, MUXF8=1, DSP48E1=1, RAMB18E1=3,
                RAMB36E1=1) == {"lut": 5, "ff": 5, "carry4": 2, "muxf": 4, "dsp": 1, "bram": 2.5}


def test_hierarchy_notes_are_no_cells(area):
    assert area(**{"$scopeinfo": 7}) == {}


def test_unweighed_cell(area):
    with pytest.raises(SynthesisError,
                       match=r"^Netlist must be made of weighed cells, not of 'LDCE'$"):
        area(LDCE=1)


def test_every_figure_is_weighed():
    names = {field.name for field in dataclasses.fields(synthesis.Figures)}
    for family in synthesis.FAMILIES.values():
        assert names == {*family.cells, "delay_ps", "path"}


# Delay ------------------------------------------------------------------------------------------

REPORT = """
4. Executing STA pass (static timing analysis).
Warning: Cell type '$scopeinfo' not recognised! Ignoring.
Latest arrival time in 'top' is 545:
     545 $ff.1 (FDRE.D)
           \\y
       0   \\clk (<primary input>)

Arrival histogram:
"""


def test_report(measured):
    figures = measured({}, REPORT)
    assert figures.delay_ps == 545
    assert figures.path == (
        "     545 $ff.1 (FDRE.D)\n           \\y\n       0   \\clk (<primary input>)")


def test_report_without_a_path(measured):
    figures = measured({}, "\n4. Executing STA pass.\n")
    assert (figures.delay_ps, figures.path) == (0, "")


# The flow ---------------------------------------------------------------------------------------

DESIGN = """
module logic_(input clk, input [6:0] a, output reg y);
  reg [6:0] r;
  always @(posedge clk) begin r <= a; y <= &r[5:0] ^ r[6]; end
endmodule

module rom_(input clk, input [9:0] wa, ra, input we, input [8:0] d, output reg y);
  reg [8:0] rows [0:1023];
  reg [8:0] q;
  always @(posedge clk) begin if (we) rows[wa] <= d; q <= rows[ra]; y <= ^q; end
endmodule

module product(input clk, input [7:0] a, b, output reg y);
  wire [15:0] p = a * b;
  always @(posedge clk) y <= ^p;
endmodule
"""


def test_logic():
    figures = measure(DESIGN, "logic_")
    assert (figures.lut, figures.ff, figures.bram) == (2, 8, 0)
    # Register, two look-up tables, register.
    assert 303 + 2 * 127 <= figures.delay_ps <= 303 + 2 * 642
    assert figures.path.splitlines()[0].endswith("(FDRE.D)")
    assert figures.path.splitlines()[-1].endswith("(<primary input>)")


@pytest.mark.slow
def test_block_ram():
    figures = measure(DESIGN, "rom_")
    assert (figures.bram, figures.ff) == (0.5, 1)
    assert "2454 rows.0.0 (RAMB18E1.CLKBWRCLK->DO" in figures.path
    assert figures.delay_ps > 2454


@pytest.mark.slow
def test_dsp():
    figures = measure(DESIGN, "product")
    assert (figures.dsp, figures.ff) == (1, 1)
    assert re.search(r" 2823 .* \(DSP48E1\.A->P\)", figures.path)


def test_module_that_is_not_there():
    with pytest.raises(yosys.YosysError, match="nothing"):
        measure(DESIGN, "nothing")
