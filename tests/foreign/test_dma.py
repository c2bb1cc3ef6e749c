"""A foreign judge of the DMAs: the memory of cocotbext-axi, both DMAs one behind the other."""

import importlib.util
import json
import pathlib
import random

import pytest
from amaranth import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.bus.dma_bursts import Descriptor
from rtl.bus.dma_read import ReadDma
from rtl.bus.dma_write import WriteDma
from rtl.emit import verilog
from sim.testing.passthrough import iverilog, verilator

HERE = pathlib.Path(__file__).parent

# Channels by the DMA that they belong to.
CHANNELS = {ReadDma: ("ar", "r"), WriteDma: ("aw", "w", "b")}
SIGNALS = ("addr", "len", "data", "strb", "resp", "last", "valid", "ready")


class Copier(wiring.Component):
    """What the read DMA reads, the write DMA writes."""

    def __init__(self):
        self.dmas = ReadDma(depth=64, outstanding=4), WriteDma(outstanding=4)
        self.channels = {
            f"{channel}{signal}": dma for dma in self.dmas for channel in CHANNELS[type(dma)]
            for signal in SIGNALS if f"{channel}{signal}" in dma.signature.members}
        super().__init__({
            "read": In(stream.Signature(Descriptor())),
            "write": In(stream.Signature(Descriptor())),
            **{name: dma.signature.members[name] for name, dma in self.channels.items()},
            "busy": Out(1), "errors": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader, m.submodules.writer = read, write = self.dmas
        wiring.connect(m, wiring.flipped(self.read), read.i)
        wiring.connect(m, wiring.flipped(self.write), write.i)
        wiring.connect(m, read.o, write.rows)
        for name, dma in self.channels.items():
            inner, outer = getattr(dma, name), getattr(self, name)
            flow = self.signature.members[name].flow
            m.d.comb += inner.eq(outer) if flow is In else outer.eq(inner)
        m.d.comb += [self.busy.eq(read.busy | write.busy),
                     self.errors.eq(Cat(read.response, read.refused, write.response,
                                        write.refused, write.short, write.long))]
        return m


# IDs, sizes and kinds of bursts, and lengths of AXI4.
TOP = """
module top(input clk, input rst, input [103:0] read_payload, input read_valid, output read_ready,
           input [103:0] write_payload, input write_valid, output write_ready,
           output busy, output [7:0] errors,
           output m_axi_awid, output [31:0] m_axi_awaddr, output [7:0] m_axi_awlen,
           output [2:0] m_axi_awsize, output [1:0] m_axi_awburst, output m_axi_awvalid,
           input m_axi_awready, output [63:0] m_axi_wdata, output [7:0] m_axi_wstrb,
           output m_axi_wlast, output m_axi_wvalid, input m_axi_wready, input m_axi_bid,
           input [1:0] m_axi_bresp, input m_axi_bvalid, output m_axi_bready,
           output m_axi_arid, output [31:0] m_axi_araddr, output [7:0] m_axi_arlen,
           output [2:0] m_axi_arsize, output [1:0] m_axi_arburst, output m_axi_arvalid,
           input m_axi_arready, input m_axi_rid, input [63:0] m_axi_rdata,
           input [1:0] m_axi_rresp, input m_axi_rlast, input m_axi_rvalid,
           output m_axi_rready);
  assign m_axi_awid = 0, m_axi_arid = 0, m_axi_awsize = 3, m_axi_arsize = 3;
  assign m_axi_awburst = 1, m_axi_arburst = 1;
  assign m_axi_awlen[7:4] = 0, m_axi_arlen[7:4] = 0;
  copier copier (
    .clk(clk), .rst(rst), .read__payload(read_payload), .read__valid(read_valid),
    .read__ready(read_ready), .write__payload(write_payload), .write__valid(write_valid),
    .write__ready(write_ready), .busy(busy), .errors(errors),
    .awlen(m_axi_awlen[3:0]), .arlen(m_axi_arlen[3:0])%s);
endmodule
"""


@pytest.fixture(scope="module")
def text():
    return verilog.of_components({"copier": Copier()})


def copies(count):
    """Descriptors of rows and of where they go, one behind the other in two halves of memory."""
    numbers = random.Random(4)
    for size in [*range(1, 10), *(numbers.randint(10, 700) for _ in range(count))]:
        rows = numbers.randint(1, 4)
        strides = [-(-size // 8) * 8 + 8 * numbers.randrange(0, 20) for _ in range(2)]
        start = 8 * numbers.randrange((0x8000 - rows * strides[0]) // 8)
        to = 0x8000 + 8 * numbers.randrange((0x8000 - rows * strides[1]) // 8)
        yield (start, size, rows, strides[0]), (to, size, rows, strides[1])


@pytest.mark.parametrize("fault", [False, True], ids=["right", "fault"])
def test_copies(fault, text, tmp_path, monkeypatch, icarus):
    if not (importlib.util.find_spec("cocotbext") and importlib.util.find_spec("cocotbext.axi")):
        pytest.skip("cocotbext-axi is not installed")
    from cocotb_tools.runner import get_results, get_runner
    names = [name for name in Copier().channels if not name.endswith("len")]
    top = TOP % "".join(f",\n    .{name}(m_axi_{name})" for name in names)
    (tmp_path / "design.v").write_text(text + top)
    (tmp_path / "job.json").write_text(json.dumps({"copies": list(copies(8)), "fault": fault}))
    # Under pytest, cocotb's runner would end the process on a failure.
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.syspath_prepend(str(HERE))
    runner = get_runner("icarus")
    runner.build(sources=[tmp_path / "design.v"], hdl_toplevel="top", build_dir=tmp_path,
                 timescale=("1ns", "1ps"), log_file=tmp_path / "build.log")
    results = runner.test(hdl_toplevel="top", test_module="cocotbext_dma", build_dir=tmp_path,
                          test_dir=tmp_path, extra_env={"JOB": str(tmp_path / "job.json")},
                          log_file=tmp_path / "test.log")
    assert get_results(results) == (1, fault), (tmp_path / "test.log").read_text()[-3000:]


def test_tools_have_nothing_to_say(text, tmp_path):
    iverilog(text, tmp_path)
    verilator(text, "copier", tmp_path)
