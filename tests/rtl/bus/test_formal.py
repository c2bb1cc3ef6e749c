"""Proofs, for all inputs and for ever: the rules of the AXI4-Lite slave."""

import pytest

from rtl.bus.axi_lite import AxiLite
from sim.testing.formal import check

pytestmark = pytest.mark.slow

INPUTS = """, input [3:0] awaddr, input awvalid, input [31:0] wdata, input [3:0] wstrb,
  input wvalid, input bready, input [3:0] araddr, input arvalid, input rready,
  input [31:0] read_data, input read_known, input write_known"""

INSTANCE = """
  wire awready, wready, bvalid, arready, rvalid, write;
  wire [1:0] bresp, rresp, read_address, write_address;
  wire [31:0] rdata, write_data;
  wire [3:0] write_strobe;
  dut dut(.clk(clk), .rst(rst), .awaddr(awaddr), .awvalid(awvalid), .awready(awready),
          .wdata(wdata), .wstrb(wstrb), .wvalid(wvalid), .wready(wready), .bresp(bresp),
          .bvalid(bvalid), .bready(bready), .araddr(araddr), .arvalid(arvalid),
          .arready(arready), .rdata(rdata), .rresp(rresp), .rvalid(rvalid), .rready(rready),
          .read_address(read_address), .read_data(read_data), .read_known(read_known),
          .write(write), .write_address(write_address), .write_data(write_data),
          .write_strobe(write_strobe), .write_known(write_known));
"""

# How many were taken of each channel, modulo 8: a response for each pair of an address and data,
# for each address of a read, and none besides. A response stays until it is taken.
RULES = """
  reg [2:0] aw = 0, w = 0, b = 0, ar = 0, r = 0, writes = 0;
  always @(posedge clk) if (!rst) begin
    aw <= aw + (awvalid && awready);
    w <= w + (wvalid && wready);
    b <= b + (bvalid && bready);
    ar <= ar + (arvalid && arready);
    r <= r + (rvalid && rready);
    writes <= writes + write;
    assert (aw == writes + !awready);
    assert (w == writes + !wready);
    assert (writes == b + bvalid);
    assert (ar == r + rvalid + !arready);
    if (past && $past(bvalid && !bready))
      assert (bvalid && bresp == $past(bresp));
    if (past && $past(rvalid && !rready))
      assert (rvalid && rresp == $past(rresp) && rdata == $past(rdata));
    if (past && $past(write)) assert (bresp == ($past(write_known) ? {okay} : 2));
    assert (!(past && $past(rvalid && rready && arready)) || !rvalid);
    // What waits to be written is what came last.
    if (past && $past(awvalid && awready)) assert (write_address == $past(awaddr[3:2]));
    if (past && $past(!awready && !write)) assert (write_address == $past(write_address));
    if (past && $past(wvalid && wready))
      assert (write_data == $past(wdata) && write_strobe == $past(wstrb));
    if (past && $past(!wready && !write))
      assert (write_data == $past(write_data) && write_strobe == $past(write_strobe));
  end
  // A master that takes its responses gets one after two cycles.
  reg [1:0] waited = 0;
  always @(posedge clk) begin
    waited <= rst || awready || wready || !bready ? 0 : waited + 1;
    if (!rst) assert (waited < 2);
  end
"""


@pytest.mark.parametrize("okay, holds", [(0, True), (1, False)])
def test_rules(okay, holds, tmp_path):
    """Proven; with a wrong response expected, refuted."""
    passed, log = check(tmp_path, AxiLite(4), INPUTS, INSTANCE + RULES.replace("{okay}", str(okay)),
                        mode="prove", depth=3)
    assert passed == holds, log
