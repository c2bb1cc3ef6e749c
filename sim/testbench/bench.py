"""Verilog-2001 of a self-checking bench: offers beats with gaps, takes others with stalls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from amaranth import Shape
from amaranth.lib.wiring import In, Out

from rtl.bus.axi_stream import bus_name
from rtl.config import UnitConfig

from ..bench.rows import BeatFormat, formats

__all__ = ["bench", "hexadecimal"]

# Cycles without a beat after which the bench ends: more than any unit needs for one.
PATIENCE = 100_000

# Cycles that the bench goes on for after the last beat, to see one too many.
AFTER = 1000


def hexadecimal(beats: list[str]) -> str:
    """Text of a file that ``$readmemh`` reads, a beat a line."""
    return "".join(f"{int(beat, 2):0{-(-len(beat) // 4)}x}\n" for beat in beats)


def bench(config: UnitConfig, beats: Mapping[str, list[str]], seed: int) -> str:
    """Return the text of the module ``<name>_tb``.

    It reads ``<name>_tb_<bus>.hex`` of each stream from the folder in which it runs, prints the
    first wrong beats, and ``PASS`` or ``FAIL`` in the end. Random gaps and stalls are of Verilog's
    own generator, which is the same everywhere.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    beats : dict of str to list
        Beats of each stream.
    seed : int
        Seed of gaps and stalls.
    """
    name = f"{config.name}_tb"
    forms = dict(zip(config.streams, formats(config, "axis"), strict=True))
    inputs = {stream: bus_name(stream, In) for stream in forms if stream != "o"}
    parts = [part for number, (stream, bus) in enumerate(inputs.items())
             for part in _source(name, bus, forms[stream], len(beats[stream]), seed + number,
                                 "" if stream == "load" else _begun(inputs))]
    output = forms["o"]
    core = config.create()
    plain = {key: Shape.cast(member.shape).width for key, member in core.signature.members.items()
             if member.is_port and key != "error" and member.flow is In}
    return _BENCH.format(
        name=name, unit=f"{config.name}_axis", hash=config.hash, seed=seed + len(inputs),
        sources="\n".join(parts), width=output.width, count=len(beats["o"]), patience=PATIENCE,
        after=AFTER, file=f"{name}_{bus_name('o', Out)}.hex",
        ports=",\n".join(f"    {port}" for port in (
            *(port for stream, bus in inputs.items()
              for port in _ports(bus, forms[stream], f"{bus}_word")),
            *_ports(bus_name("o", Out), output, "result"),
            *(f".{key}({width}'d0)" for key, width in plain.items()))))


def _begun(inputs: Mapping[str, str]) -> str:
    """Condition under which rows may begin: that parameters have been loaded, if any are."""
    return f" && {inputs['load']}_done" if "load" in inputs else ""


def _ports(bus: str, form: BeatFormat, word: str) -> Iterator[str]:
    place = 0
    for signal, width in form.signals:
        bits = f"[{place + width - 1}:{place}]" if width > 1 else f"[{place}]"
        yield f".{signal}({word}{bits})"
        place += width
    yield f".{bus}_tvalid({bus}_tvalid)"
    yield f".{bus}_tready({bus}_tready)"


def _source(name: str, bus: str, form: BeatFormat, count: int, seed: int,
            condition: str) -> Iterator[str]:
    yield f"""\
  // {bus}: {count} beats
  reg [{form.width - 1}:0] {bus}_words [0:{max(count, 1) - 1}];
  reg [{form.width - 1}:0] {bus}_word = 0;
  reg {bus}_tvalid = 0;
  wire {bus}_tready;
  integer {bus}_sent = 0, {bus}_seed = {seed};
  wire {bus}_done = {bus}_sent == {count} && !{bus}_tvalid;
"""
    if count:
        yield f"""\
  initial $readmemh("{name}_{bus}.hex", {bus}_words);
  always @(posedge aclk) if (running) begin
    if (!{bus}_tvalid || {bus}_tready) begin
      {bus}_tvalid <= 0;
      if ({bus}_sent < {count}{condition} && $random({bus}_seed) % 4 != 0) begin
        {bus}_word <= {bus}_words[{bus}_sent];
        {bus}_tvalid <= 1;
        {bus}_sent <= {bus}_sent + 1;
      end
    end
    if ({bus}_tready === 1'bx) fail("unknown ready");
  end
"""


_BENCH = """\
// Self-checking bench of {unit}, configuration {hash}; Verilog-2001, any simulator:
//
//   iverilog -g2001 -o {name} {name}.v -c {unit}.f && vvp {name}
//
// in the folder of its files. The last line that it prints is PASS or FAIL.

`timescale 1 ns / 1 ps

module {name};
  reg aclk = 0, aresetn = 0, running = 0;
  always #5 aclk = ~aclk;
  initial begin
    repeat (4) @(posedge aclk);
    aresetn <= 1;
    repeat (2) @(posedge aclk);
    running <= 1;
  end

  integer failures = 0, received = 0, idle = 0;

{sources}
  // m_axis: {count} beats
  reg [{width}-1:0] expected [0:{count}-1];
  wire [{width}-1:0] result;
  reg [{width}-1:0] held = 0;
  reg m_axis_tready = 0, stalled = 0;
  wire m_axis_tvalid, error;
  integer m_axis_seed = {seed};
  initial $readmemh("{file}", expected);

  {unit} dut (
    .aclk(aclk), .aresetn(aresetn),
{ports},
    .error(error)
  );

  task fail(input [8*24-1:0] what);
    begin
      failures = failures + 1;
      if (failures <= 10) $display("%0s at beat %0d of the output", what, received);
    end
  endtask

  always @(posedge aclk) if (running) begin
    m_axis_tready <= $random(m_axis_seed) % 3 != 0;
    if (m_axis_tvalid === 1'bx) fail("unknown valid");
    if (stalled && !(m_axis_tvalid && result === held)) fail("unstable while stalled");
    stalled <= m_axis_tvalid && !m_axis_tready;
    held <= result;
    idle = idle + 1;
    if (m_axis_tvalid && m_axis_tready) begin
      if (received >= {count}) fail("one beat too many");
      else if (result !== expected[received]) begin
        fail("wrong beat");
        if (failures <= 10) $display("  %h instead of %h", result, expected[received]);
      end
      received = received + 1;
      idle = 0;
    end
    if (idle > (received < {count} ? {patience} : {after})) begin
      if (received < {count}) fail("beats are missing");
      if (error !== 0) fail("error is high");
      if (failures == 0) $display("PASS %0d beats", received);
      else $display("FAIL %0d times", failures);
      $finish;
    end
  end
endmodule
"""
