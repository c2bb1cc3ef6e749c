"""Verilated units as shared libraries, driven by compiled code: the bulk of all comparisons."""
