"""Arithmetic, tables and memories that units are made of: one concept a file, no streams."""
