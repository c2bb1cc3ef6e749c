"""Boards: tops around units, and what brings them onto a device and talks to them there."""
