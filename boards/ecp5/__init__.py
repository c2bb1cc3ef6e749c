"""Boards with an ECP5: a unit behind a serial line, built by open tools."""
