// Bench of any row unit's AXI4-Stream ports, in plain Verilog-2001: it reads beats and expected beats
// from hexadecimal files, offers the one with gaps, takes the other with stalls, and compares.
//
// Macros: DUT module, IN and OUT bytes of TDATA, BEATS number of beats each way, SEED; USER width of
// TUSER where there is one. Words: {TUSER, TKEEP, TLAST, TDATA} in, {TKEEP, TLAST, TDATA} out.

`timescale 1 ns / 1 ps

`ifdef USER
  `define USER_BITS `USER
`else
  `define USER_BITS 0
`endif

module bench;
  localparam IN_WIDTH = `USER_BITS + `IN + 1 + 8 * `IN;
  localparam OUT_WIDTH = `OUT + 1 + 8 * `OUT;

  reg [IN_WIDTH-1:0] words [0:`BEATS-1];
  reg [OUT_WIDTH-1:0] expected [0:`BEATS-1];

  reg aclk = 0, aresetn = 0;
  reg [IN_WIDTH-1:0] word = 0;
  reg s_valid = 0, m_ready = 0;
  wire s_ready, m_valid, m_last, error;
  wire [8*`OUT-1:0] m_data;
  wire [`OUT-1:0] m_keep;
  wire [OUT_WIDTH-1:0] result = {m_keep, m_last, m_data};

  `DUT dut (
    .aclk(aclk), .aresetn(aresetn),
    .s_axis_tdata(word[8*`IN-1:0]), .s_axis_tlast(word[8*`IN]),
    .s_axis_tkeep(word[8*`IN+1 +: `IN]),
`ifdef USER
    .s_axis_tuser(word[9*`IN+1 +: `USER]),
`endif
    .s_axis_tvalid(s_valid), .s_axis_tready(s_ready),
    .m_axis_tdata(m_data), .m_axis_tkeep(m_keep), .m_axis_tlast(m_last),
    .m_axis_tvalid(m_valid), .m_axis_tready(m_ready), .error(error)
  );

  integer seed = `SEED, sent = 0, received = 0, failures = 0, idle = 0;
  reg stalled = 0;
  reg [OUT_WIDTH-1:0] held;

  always #5 aclk = ~aclk;

  initial begin
    $readmemh("words.hex", words);
    $readmemh("expected.hex", expected);
    repeat (4) @(posedge aclk);
    aresetn <= 1;
  end

  task fail(input [8*24-1:0] what);
    begin
      failures = failures + 1;
      if (failures <= 10)
        $display("FAIL %0s: beat %0d, %h for %h", what, received, result, expected[received]);
    end
  endtask

  always @(posedge aclk) if (aresetn) begin
    if (!s_valid || s_ready) begin
      s_valid <= 0;
      if (sent < `BEATS && $unsigned($random(seed)) % 4 != 0) begin
        word <= words[sent];
        s_valid <= 1;
        sent = sent + 1;
      end
    end
    m_ready <= $unsigned($random(seed)) % 3 != 0;

    if (m_valid === 1'bx || s_ready === 1'bx) fail("unknown handshake");
    if (stalled && !(m_valid && result === held)) fail("unstable while stalled");
    stalled <= m_valid && !m_ready;
    held <= result;
    idle = idle + 1;
    if (m_valid && m_ready) begin
      if (received >= `BEATS) fail("one beat too many");
      else if (result !== expected[received]) fail("wrong beat");
      received = received + 1;
      idle = 0;
    end
    if (idle > 2000) begin
      if (received != `BEATS) fail("beats missing");
      if (error !== 0) fail("error is high");
      if (failures == 0) $display("PASS %0d beats", received);
      $finish;
    end
  end
endmodule
