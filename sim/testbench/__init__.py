"""Test benches in plain Verilog for emitted units, with vectors that the models have made."""
