"""Benches that run inside a simulator, by cocotb, and the rows they run with."""
