"""Boards that the units run on."""
